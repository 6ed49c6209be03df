"""Creating the tables, bringing older ones up to date, and recognising those of the future."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.migrations import PARTS, Part, Step, Steps
from asyncqueue.drivers.sqlite.connection import begin, roll_back
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    import sqlite3

    from asyncqueue.drivers.sqlite.names import Tables
    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements

STEPS: Final = Steps(files("asyncqueue.drivers.sqlite") / "sql" / "migrations")


def upgrade(connection: sqlite3.Connection, sql: Statements, place: Place) -> list[Step]:
    """Take the steps that are missing, all or none; answers which. Several processes may do so."""
    if not _missing_steps(connection, sql, place):
        return []
    begin(connection, place.patience)
    try:
        # Looked up again: somebody else may have been faster while this one waited for the lock.
        steps = _missing_steps(connection, sql, place)
        for step in steps:
            _take(connection, sql, place, step)
        for part in PARTS if steps else ():
            connection.execute(sql["open.note"], (*_fact(part, sql.tables), str(STEPS.newest)))
        connection.execute("COMMIT")
    finally:
        roll_back(connection)
    return steps


def described(step: Step, tables: Tables) -> str:
    """A line for whoever asked for it."""
    return f"{step.number:03} {_table(step.part, tables)}: {step.title}"


def _missing_steps(connection: sqlite3.Connection, sql: Statements, place: Place) -> list[Step]:
    versions: dict[Part, str | None] = dict.fromkeys(PARTS)
    if _has_table(connection, sql, sql.tables.meta):
        facts = {(kind, name): value for kind, name, value in connection.execute(sql["open.facts"])}
        versions = {part: facts.get(_fact(part, sql.tables)) for part in versions}
    return STEPS.missing(versions, f"The tables of {place.path}")


def _take(connection: sqlite3.Connection, sql: Statements, place: Place, step: Step) -> None:
    table = _table(step.part, sql.tables)
    if step.number == 1 and _has_table(connection, sql, table):
        raise DriverError(
            f"{place.path} has a table {table!r} already that is not this queue's; "
            "give other names with table and failed_table."
        )
    for statement in sql.script(step.text).values():
        connection.execute(statement)


def _fact(part: Part, tables: Tables) -> tuple[str, str]:
    """Under which kind and name the version of a part is noted."""
    return ("schema", "version") if part == "jobs" else ("failed", tables.failed)


def _table(part: Part, tables: Tables) -> str:
    return tables.jobs if part == "jobs" else tables.failed


def _has_table(connection: sqlite3.Connection, sql: Statements, table: str) -> bool:
    return bool(connection.execute(sql["open.exists"], (table,)).fetchone()[0])
