"""Connections: how they are opened and how they wait for each other."""

from __future__ import annotations

import contextlib
import ctypes
import random
import sqlite3
import time
from typing import TYPE_CHECKING, Final, TypeVar, overload

from asyncqueue.drivers.sqlite.failures import is_busy
from asyncqueue.drivers.sqlite.original import Original
from asyncqueue.errors import DriverError, DriverUnavailable
from asyncqueue.forks import tell_of_forks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from asyncqueue.drivers.sqlite.place import Place

T = TypeVar("T")
C = TypeVar("C", bound="Connection")
OLDEST_SQLITE: Final = (3, 35)
"""The first with RETURNING."""
SHORTEST_PAUSE: Final = 0.0002
LONGEST_PAUSE: Final = 0.002


class Connection(sqlite3.Connection):
    """A connection that a forked process leaves alone, see :mod:`.kept_open`."""

    file: tuple[int, int] | None = None
    """Device and number of the open file; None once it is closed."""

    def close(self) -> None:
        """Close it."""
        super().close()
        self.file = None

    def forked(self) -> None:
        """This is a child process, and nobody closed this before the fork."""
        if self.file is not None:
            _inherited.add(self.file)
            # Freeing the object would close it, which may damage the file.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


_inherited: set[tuple[int, int]] = set()
"""The files that this process, a forked one, cannot open."""


@overload
def connect(place: Place) -> Connection: ...
@overload
def connect(place: Place, factory: type[C]) -> C: ...
def connect(place: Place, factory: type[Connection] = Connection) -> Connection:
    """A connection in write-ahead mode that commits only when told to.

    SQLite's own waiting for locks is off: its pauses grow to 100 ms, and a writer needs the
    lock for less than one. :func:`begin` waits instead.
    """
    _check_environment(place.path)
    connection = sqlite3.connect(
        place.path,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        factory=factory,
        cached_statements=256,
    )
    try:
        connection.file = Original(place.path).identity
        tell_of_forks(connection)
        patiently(lambda: _prepare(connection, place), place.patience)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, place: Place) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {place.synchronous}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # Zeroes deleted content where that costs no extra write.
    connection.execute("PRAGMA secure_delete = FAST")


def patiently(step: Callable[[], T], patience: float) -> T:
    """Do a step again and again for ``patience`` seconds while the database is locked.

    The pauses are short, because locks are held briefly, and random, so that those who wait do
    not meet again and again.
    """
    pause = SHORTEST_PAUSE
    give_up_at = time.monotonic() + patience
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= give_up_at:
                raise
        time.sleep(random.uniform(SHORTEST_PAUSE, pause))  # noqa: S311 - not a secret
        pause = min(pause * 1.5, LONGEST_PAUSE)


def begin(connection: sqlite3.Connection, patience: float) -> None:
    """Start a transaction that holds the write lock."""
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"), patience)


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction without a trace; harmless when SQLite has done so already."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _check_environment(path: Path) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DriverError(
            f"SQLite {sqlite3.sqlite_version} is too old; the sqlite driver needs "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer."
        )
    if not path.parent.is_dir():
        raise DriverUnavailable(
            f"The database {path} cannot be created: there is no directory {path.parent}; "
            "create it or give another path."
        )
    if path.is_dir():
        raise DriverUnavailable(f"The database {path} is a directory; give the path of a file.")
    if _inherited and path.exists() and Original(path).identity in _inherited:
        raise DriverError(
            f"The database {path} was in use at the moment when this process was forked, so "
            "SQLite cannot be used on it here; fork outside of transactions, or start processes "
            'with the method "spawn".'
        )


@contextlib.contextmanager
def reading_damaged_text(connection: sqlite3.Connection) -> Generator[None]:
    """Read text that is not UTF-8 with question marks, to get past it. Slower."""
    connection.text_factory = readable
    try:
        yield
    finally:
        connection.text_factory = str


def readable(text: bytes) -> str:
    """Text as near as possible to what it should have been."""
    return text.decode("utf-8", "replace")
