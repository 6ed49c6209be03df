"""What SQLite's errors mean to those who use the queue."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from asyncqueue.errors import DriverError, DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

    from asyncqueue.drivers.sqlite.place import Place

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
"""The last one is a race for the locks of the write-ahead log, lost many times over."""
_REASONS: Final = {
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its directory exists and is yours",
    sqlite3.SQLITE_PERM: "may not be used; check the permissions of it and its directory",
    sqlite3.SQLITE_READONLY: "cannot be written; check the permissions of it and its directory",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; give the path of another file",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a backup",
    sqlite3.SQLITE_FULL: "cannot grow; the disk is full, make room on it",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check its disk",
}


def is_busy(error: BaseException) -> bool:
    """True where another connection holds a lock and waiting may help."""
    return _code(error) in _BUSY


def is_unreadable(error: BaseException) -> bool:
    """True where Python could not decode a text; such errors have no code of SQLite's."""
    return isinstance(error, sqlite3.OperationalError) and _code(error) is None


def explain(error: Exception, place: Place) -> Exception:
    """The error to give to the caller: SQLite's own become causes."""
    if not isinstance(error, sqlite3.Error):
        return error
    explained = _explain(error, place)
    explained.__cause__ = error
    return explained


@contextlib.contextmanager
def explained(place: Place) -> Generator[None]:
    """Raise SQLite's errors as what they mean."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, place) from error
    except OSError as error:
        raise DriverUnavailable(f"The database {place.path} cannot be used: {error}.") from error


def still_locked(place: Place) -> DriverUnavailable:
    """The error of one who waited for the write lock in vain."""
    return DriverUnavailable(
        f"The database {place.path} was locked by another connection for {place.patience:g} "
        "seconds; end its transaction or raise busy_timeout."
    )


def _explain(error: sqlite3.Error, place: Place) -> DriverError:
    code, path = _code(error), place.path
    if code in _BUSY:
        return still_locked(place)
    if code in _REASONS:
        return DriverUnavailable(f"The database {path} {_REASONS[code]} ({error}).")
    return DriverError(f"The database {path} refused a statement: {error}.")


def _code(error: BaseException) -> int | None:
    # The low byte is the kind of error, the rest tells details.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
