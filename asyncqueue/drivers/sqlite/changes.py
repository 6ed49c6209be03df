"""Noticing what other connections commit: other processes, clones, callers' transactions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.sqlite.file_events import FileEvents

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from asyncqueue.drivers.base import Watches

SHORTEST_PAUSE: Final = 0.001
CALM_AFTER: Final = 2.0
"""Seconds after a write when its commit has surely become visible."""
BLIND_PAUSE: Final = 0.005
"""Seconds between two looks where the kernel does not tell of writes."""
PAUSE_AFTER_FAILURE: Final = 5.0


class Changes:
    """Rings all watches when somebody else changed the database.

    SQLite counts for every connection the commits of all others, so those of the connection that
    is asked ring nothing here: the writer rings their topics itself. Looking all the time would
    cost a percent of a core, so one looks only after the log was written to: soon, because the
    commit becomes visible a moment later, and then less and less often.
    """

    def __init__(self, watches: Watches, database: Path) -> None:
        self._watches = watches
        self._log = Path(f"{database.resolve()}-wal")
        self._events: FileEvents | None = None
        self._blind = False
        self._notice: Callable[[], object] | None = None
        self._next_look = 0.0
        self._version = 0

    def follow(self, connection: sqlite3.Connection) -> None:
        """Look with this connection from now on. What happened before it was opened is news."""
        self._version = _version(connection)
        self._watches.ring_all()
        if self._events is not None and self._notice is not None:
            # The log may be another file by now.
            self.stop()
            self.start(self._notice)

    def start(self, notice: Callable[[], object]) -> None:
        """Begin to be told of writes; ``notice`` is called for them. Harmless when begun."""
        self._notice = notice
        if self._events is None and not self._blind:
            try:
                self._events = FileEvents(self._log, notice)
            except OSError:
                self._blind = True

    def stop(self) -> None:
        """End what :meth:`start` began."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def pause(self) -> float | None:
        """Seconds until the next look; None where there is nothing to look for."""
        if self._watches.idle:
            return None
        if self._events is None:
            return BLIND_PAUSE
        age = time.monotonic() - self._events.last
        return max(SHORTEST_PAUSE, age / 5) if age < CALM_AFTER else None

    def is_due(self) -> bool:
        """Whether it is time to look."""
        pause = self.pause()
        now = time.monotonic()
        if pause is None or now < self._next_look:
            return False
        self._next_look = now + pause
        return True

    def postpone(self) -> None:
        """Do not look for a while: it did not work."""
        self._next_look = time.monotonic() + PAUSE_AFTER_FAILURE

    def look(self, connection: sqlite3.Connection) -> None:
        """Look whether something changed."""
        version = _version(connection)
        if version != self._version:
            self._version = version
            self._watches.ring_all()


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA data_version").fetchone()[0]
