"""Job ids: UUID version 7, in order of creation within a process."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

POOL: Final = 512
"""Ids for which random bytes are fetched at once."""
_NODE: Final = 6
"""Random bytes at the end of an id; the 12 bits before them are those of its pool."""
_COUNTS: Final = [f"{count:03x}-8" for count in range(1 << 12)]
"""The count of an id within its millisecond, and which kind of UUID it is."""
_lock = threading.Lock()
_last = 0
_millisecond = -1
_prefix = ""
_nodes: list[str] = []
_sequence = ""


def _begin_anew() -> None:
    """In a forked process: its parent goes on with the random bytes, and may have held the lock."""
    global _lock  # noqa: PLW0603 - as below
    _lock = threading.Lock()
    _nodes.clear()


os.register_at_fork(after_in_child=_begin_anew)


def new_id() -> str:
    """A new id; later ones of the same process sort after it."""
    with _lock:
        return _make(_moments(1))


def new_ids(count: int) -> list[str]:
    """So many new ids, in order: for less than each costs by itself."""
    with _lock:
        first = _moments(count)
        return [_make(moment) for moment in range(first, first + count)]


def _moments(count: int) -> int:
    """The first of so many moments that no id of this process has.

    48 bits of milliseconds, then a count of 12 bits that keeps ids of one millisecond apart.
    """
    global _last  # noqa: PLW0603 - one sequence per process
    now = int(time.time() * 1000) << 12
    first = now if now > _last else _last + 1
    _last = first + count - 1
    return first


def _make(moment: int) -> str:
    global _millisecond, _prefix, _nodes, _sequence  # noqa: PLW0603 - as above
    if moment >> 12 != _millisecond:
        _millisecond = moment >> 12
        _prefix = f"{_millisecond >> 16:08x}-{_millisecond & 0xFFFF:04x}-7"
    if not _nodes:
        # Pieces of text, because numbers of 62 bits are slow to format.
        _nodes = os.urandom(_NODE * POOL).hex(" ", _NODE).split(" ")
        _sequence = f"{os.urandom(2).hex()[1:]}-"
    return f"{_prefix}{_COUNTS[moment & 0xFFF]}{_sequence}{_nodes.pop()}"
