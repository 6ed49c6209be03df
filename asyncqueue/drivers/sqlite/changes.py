"""Noticing what other connections commit: other processes, clones, callers' transactions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

    from asyncqueue.drivers.base import Watches

INTERVAL: Final = 0.004
"""Seconds between two looks while somebody watches. A look takes a few microseconds."""
INTERVAL_AFTER_FAILURE: Final = 5.0


class Changes:
    """Rings all watches when somebody else changed the database.

    SQLite counts for every connection the commits of all others, so the commits of the
    connection that is asked ring nothing here: the writer rings their topics itself.
    """

    def __init__(self, connection: sqlite3.Connection, watches: Watches) -> None:
        self._connection = connection
        self._watches = watches
        self._next_look = 0.0
        self._version = self._read()

    def look_if_due(self) -> None:
        """Look whether something changed, if somebody watches and the last look was long ago."""
        if not self._watches.idle and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + INTERVAL
            self._look()

    def postpone(self) -> None:
        """Do not look for a while: it did not work."""
        self._next_look = time.monotonic() + INTERVAL_AFTER_FAILURE

    def _look(self) -> None:
        version = self._read()
        if version != self._version:
            self._version = version
            self._watches.ring_all()

    def _read(self) -> int:
        return self._connection.execute("PRAGMA data_version").fetchone()[0]
