"""Forked processes: they inherit objects whose threads, tasks and locks stayed with the parent."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Heir(Protocol):
    """Something that has to forget what only its parent can use."""

    def forked(self) -> None:
        """This is a child process. Must not block, nor touch what the parent goes on using."""
        ...


_heirs: WeakSet[Heir] = WeakSet()


def tell_of_forks(heir: Heir) -> None:
    """Call ``heir.forked()`` first thing in every process that is forked off this one."""
    _heirs.add(heir)


def _tell_all() -> None:
    for heir in tuple(_heirs):
        heir.forked()


if hasattr(os, "register_at_fork"):  # Elsewhere there are no forks.
    os.register_at_fork(after_in_child=_tell_all)
