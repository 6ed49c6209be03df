"""Storing jobs inside a transaction of the caller, on the caller's own connection."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from asyncqueue.drivers.sqlite.enqueue import enqueue
from asyncqueue.drivers.sqlite.failures import explained
from asyncqueue.drivers.sqlite.lendable import LEGACY
from asyncqueue.drivers.sqlite.store import Store
from asyncqueue.errors import TransactionUnsupported

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements
    from asyncqueue.record import Latch, Record


def enqueue_within(
    within: object,
    records: Sequence[Record],
    latches: Sequence[Latch],
    place: Place,
    sql: Statements,
    now: float,
) -> list[str | None]:
    """Store records and latches as part of the transaction of ``within``, all or none.

    The connection is used as it is found, in the thread of the caller, and left so. Workers see
    the jobs once the caller commits, without further ado: they notice foreign commits.
    """
    if not isinstance(within, sqlite3.Connection):
        raise TransactionUnsupported(
            f"The sqlite driver cannot join a transaction of {type(within).__module__}."
            f"{type(within).__qualname__}; give a sqlite3.Connection to {place.path}."
        )
    with explained(place), _text_as_str(within):
        _check_file(within, place)
        _enter_transaction(within)
        with _savepoint(within):
            return enqueue(Store(within, sql, now), records, now, latches)


def _check_file(connection: sqlite3.Connection, place: Place) -> None:
    cursor = connection.cursor()
    cursor.row_factory = None
    files = {row[1]: row[2] for row in cursor.execute("PRAGMA database_list")}
    found = files["main"]
    if not found or not _is_same_file(place.path, found):
        raise ValueError(
            f"The connection given as within is to {found or 'a database in memory'}, but the "
            f"jobs are in {place.path}; give a connection to that file."
        )


def _is_same_file(path: Path, found: str) -> bool:
    try:
        return path.samefile(found)
    except FileNotFoundError:
        return False


def _enter_transaction(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        return
    autocommit = getattr(connection, "autocommit", LEGACY)
    if autocommit is True or (autocommit == LEGACY and connection.isolation_level is None):
        raise TransactionUnsupported(
            "The connection given as within commits every statement by itself; "
            "begin a transaction on it first, with BEGIN IMMEDIATE."
        )
    # What sqlite3 itself does before a first INSERT; here a SELECT comes first.
    connection.execute("BEGIN IMMEDIATE")


@contextlib.contextmanager
def _text_as_str(connection: sqlite3.Connection) -> Generator[None]:
    text_factory = connection.text_factory
    connection.text_factory = str
    try:
        yield
    finally:
        connection.text_factory = text_factory


@contextlib.contextmanager
def _savepoint(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("SAVEPOINT asyncqueue")
    try:
        yield
    except BaseException:
        # Some errors, a full disk for one, have ended the whole transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK TO asyncqueue")
            connection.execute("RELEASE asyncqueue")
        raise
    connection.execute("RELEASE asyncqueue")
