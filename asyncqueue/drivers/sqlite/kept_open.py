"""Connections that stay open, except while the process forks.

Within a process SQLite remembers by file which locks it has. A child inherits that memory, but not
the locks: what it opens then believes to be protected and is not, until the file is damaged. So
there must be nothing to remember at the moment of a fork.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from asyncqueue.drivers.sqlite.connection import Connection

LONGEST: Final = 1.0
"""Seconds for which a fork waits for what is being done with the connections of a process."""


class Yielding(Protocol):
    """What can close its connections for the moment of a fork."""

    def let_go(self, patience: float) -> bool:
        """Close them and keep them closed; False if they were in use for ``patience`` seconds."""
        ...

    def go_on(self) -> None:
        """They may be opened again."""
        ...


_yielding: WeakSet[Yielding] = WeakSet()
_yielded: list[Yielding] = []


def let_go_at_forks(yielding: Yielding) -> None:
    """Let it close its connections while the process forks, from now on."""
    _yielding.add(yielding)


def _before_fork() -> None:
    give_up_at = time.monotonic() + LONGEST
    _yielded.extend(
        yielding
        for yielding in tuple(_yielding)
        if yielding.let_go(max(0.0, give_up_at - time.monotonic()))
    )


def _after_fork() -> None:
    while _yielded:
        _yielded.pop().go_on()


if hasattr(os, "register_at_fork"):  # Elsewhere there are no forks.
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


class KeptOpen:
    """A connection for one thread: opened at its first use, and again after a fork.

    ``resumed`` is called when a fork is over.
    """

    def __init__(
        self, connect: Callable[[], Connection], resumed: Callable[[], object] = lambda: None
    ) -> None:
        self._connect = connect
        self._resumed = resumed
        self._used = threading.Lock()
        self._connection: Connection | None = None
        let_go_at_forks(self)

    @contextlib.contextmanager
    def using(self) -> Generator[Connection]:
        """The connection; no fork falls into the block, if that does not take too long."""
        with self._used:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection

    def close(self) -> None:
        """Close it for good. To be used by its thread, or after that ended."""
        with self._used:
            self._close()

    def let_go(self, patience: float) -> bool:
        """See :class:`Yielding`."""
        if not self._used.acquire(timeout=patience):
            return False
        # Whatever it is, the child is told that this file was not let go of.
        with contextlib.suppress(sqlite3.Error):
            self._close()
        return True

    def go_on(self) -> None:
        """See :class:`Yielding`."""
        self._used.release()
        self._resumed()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
