"""Creating the tables, and recognising those of another version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.sqlite.connection import begin, roll_back
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    import sqlite3

    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements

VERSION: Final = "1"


def ensure_schema(connection: sqlite3.Connection, sql: Statements, place: Place) -> None:
    """Create what is missing. Any number of processes may do so at the same time."""
    if not _missing(connection, sql, place):
        return
    begin(connection, place.patience)
    try:
        # Looked up again: somebody else may have been faster while this one waited for the lock.
        for kind, name, table in _missing(connection, sql, place):
            _create(connection, sql, place, (kind, name, table))
        connection.execute("COMMIT")
    finally:
        roll_back(connection)


def _missing(
    connection: sqlite3.Connection, sql: Statements, place: Place
) -> list[tuple[str, str, str]]:
    wanted = [
        ("schema", "version", sql.tables.jobs),
        ("failed", sql.tables.failed, sql.tables.failed),
    ]
    if not _has_table(connection, sql, sql.tables.meta):
        return wanted
    facts = {(kind, name): value for kind, name, value in connection.execute(sql["open.facts"])}
    version = facts.get(("schema", "version"))
    if version != VERSION:
        raise DriverError(
            f"The tables of {place.path} have version {version} and this asyncqueue knows "
            f"version {VERSION}; install a matching asyncqueue or name other tables."
        )
    return [(kind, name, table) for kind, name, table in wanted if (kind, name) not in facts]


def _create(
    connection: sqlite3.Connection, sql: Statements, place: Place, what: tuple[str, str, str]
) -> None:
    kind, name, table = what
    if _has_table(connection, sql, table):
        raise DriverError(
            f"{place.path} has a table {table!r} already that is not this queue's; "
            "give other names with table and failed_table."
        )
    for statement in sql.verb(kind).values():
        connection.execute(statement)
    connection.execute(sql["open.note"], (kind, name, VERSION))


def _has_table(connection: sqlite3.Connection, sql: Statements, table: str) -> bool:
    return bool(connection.execute(sql["open.exists"], (table,)).fetchone()[0])
