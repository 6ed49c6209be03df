"""Garbage in every column of a queue in tables: the jobs of other rows run on."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.testing import Clock

from .poison import BATCH, DONE, LIMITED, Course, fill
from .test_poisoned_rows import LARGEST, POSTGRES_VALUES, SQLITE_VALUES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncqueue.drivers.base import Driver

    from ..servers.schemas import Schema

TABLES = ("jobs", "jobs_meta", "failed_jobs", "jobs_latches", "jobs_permits", "jobs_openings")
KEYS = {
    "jobs_meta": ("kind", "name"),
    "jobs_permits": ("key", "holder"),
    "jobs_openings": ("key",),
    "jobs_turns": ("queue", "priority", "fair"),
}
"""What tells the rows of a table apart, if not the id."""
JOBS = ("one-0", "one-1", "fair-0", "member-0", "on-success", "keyed-0", "retried")
"""Of the jobs those that are damaged, in the columns that no plain job has."""
COLUMNS = ("limits", "fair", "aside", "latch", "part", "held", "key", "key_hold", "key_until")
UNUSED = {("old",), ("keyed-0",), ("retried",), ("member-0",), ("one-0",)}
"""Rows that are left out where it takes long."""
CRAFTED = ('[["one",0,null]]', '[["one",1,-5]]', "[[]]", "{}")
"""What can be read as limits, nearly."""


CONCERNED = {
    "jobs_latches": BATCH,
    "jobs_permits": LIMITED,
    "jobs_openings": LIMITED,
    "jobs_turns": {f"turn-{n}" for n in range(4)},
}
"""Who waits for what a row tells: a permit, its time, or the turn of a key."""


class Cell(NamedTuple):
    """Where somebody writes: a column of the row that these tell apart."""

    table: str
    column: str
    row: tuple[Any, ...]

    def concerns(self) -> set[str]:
        """The jobs that may be lost where this is damaged."""
        if self.table == "jobs":
            own = {self.row[0]}
            # Who holds a permit and does not say so gives none back.
            return own | (BATCH if own <= BATCH else LIMITED if own == {"one-0"} else set())
        return CONCERNED.get(self.table, set())

    def where(self, mark: str) -> str:
        """The condition for its row."""
        keys = KEYS.get(self.table, ("id",))
        return " AND ".join(f"{key} = {mark.format(n)}" for n, key in enumerate(keys, 2))


def cells_of(table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> list[Cell]:
    """All of a table, but for what tells which version it has."""
    if table == "jobs":
        columns = [column for column in columns if column in COLUMNS]
        rows = [(id,) for id in JOBS]
    if table == "jobs_meta":
        rows = [row for row in rows if row[0] not in ("schema", "failed")]
    return [Cell(table, column, row) for column in columns for row in rows]


def found(cell: Cell, value: object, course: Course) -> list[str]:
    """What was wrong in the course of a store that has this value there."""
    lost = sorted(DONE - course.done - cell.concerns())
    return [f"{cell} {value!r:.40}: {lost} {course.wrong[:3]}"] if lost or course.wrong else []


async def course_of(driver: Driver, clock: Clock) -> Course:
    """What comes of work on a damaged store."""
    await driver.open()
    course = Course(driver, clock)
    await course.run()
    await driver.close()
    return course


async def filled_file(folder: Path) -> Path:
    """A database with one of each thing in it."""
    driver = SqliteDriver(folder / "filled.db", clock=(clock := Clock()))
    await driver.open()
    await fill(driver, clock)
    await driver.close()
    return folder / "filled.db"


def cells_of_file(path: Path, table: str) -> list[Cell]:
    with closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        keys = ", ".join(KEYS.get(table, ("id",)))
        rows = connection.execute(f"SELECT {keys} FROM {table}").fetchall()
    return cells_of(table, columns, rows)


async def courses_of_file(path: Path, cell: Cell, *values: object) -> list[str]:
    """What was wrong, whichever of these values was written there, or of some of its type."""
    wrong: list[str] = []
    for value in values or (*SQLITE_VALUES, *(CRAFTED if cell.column == "limits" else ())):
        damaged = path.with_name("damaged.db")
        for old in path.parent.glob("damaged.db*"):
            old.unlink()
        shutil.copy(path, damaged)
        with closing(sqlite3.connect(damaged, isolation_level=None)) as connection:
            update = f"UPDATE {cell.table} SET {cell.column} = ? WHERE {cell.where('?')}"
            try:
                connection.execute(update, (value, *cell.row))
            except sqlite3.IntegrityError:
                continue  # The store itself refuses that.
        course = await course_of(SqliteDriver(damaged, clock=(clock := Clock())), clock)
        wrong += found(cell, value, course)
    return wrong


@pytest.mark.parametrize(
    ("table", "column", "row", "value"),
    [
        ("jobs", "fair", "fair-0", None),
        ("jobs", "limits", "one-1", CRAFTED[0]),
        ("jobs_latches", "total", "batch", "text"),
        ("jobs_latches", "completed", "batch", LARGEST),
    ],
)
async def test_sqlite(table: str, column: str, row: str, value: object, tmp_path: Path) -> None:
    """What did harm once."""
    path = await filled_file(tmp_path)
    assert await courses_of_file(path, Cell(table, column, (row,)), value) == []


@pytest.mark.faults
@pytest.mark.parametrize("table", [*TABLES, "jobs_turns"])
async def test_every_cell_on_sqlite(table: str, tmp_path: Path) -> None:
    path = await filled_file(tmp_path)
    cells = cells_of_file(path, table)
    assert cells
    assert [line for cell in cells for line in await courses_of_file(path, cell)] == []


class Tables:
    """Those of one schema of PostgreSQL, as somebody else sees them."""

    def __init__(self, connection: asyncpg.Connection, schema: Schema) -> None:
        self._connection = connection
        self._schema = schema

    async def fill(self) -> None:
        """Make them as they are when nobody has damaged them."""
        driver = self._driver(clock := Clock())
        await driver.open()
        for table in TABLES:
            kept = " WHERE kind NOT IN ('schema', 'failed')" if table == "jobs_meta" else ""
            await self._connection.execute(f'DELETE FROM "{self._schema.name}".{table}{kept}')
        await fill(driver, clock)
        await driver.close()

    async def cells(self, table: str) -> list[Cell]:
        columns = await self._types(table)
        keys = ", ".join(KEYS.get(table, ("id",)))
        rows = await self._connection.fetch(f'SELECT {keys} FROM "{self._schema.name}".{table}')
        return cells_of(table, list(columns), [tuple(row) for row in rows])

    async def courses(self, cell: Cell, *values: object) -> list[str]:
        """What was wrong, whichever of these values was written there, or of some of its type."""
        wrong: list[str] = []
        kind = (await self._types(cell.table))[cell.column]
        crafted = CRAFTED if cell.column == "limits" else ()
        for value in values or (*POSTGRES_VALUES[kind][-2:], *crafted):
            await self.fill()
            table = f'"{self._schema.name}".{cell.table}'
            update = f"UPDATE {table} SET {cell.column} = $1 WHERE {cell.where('${}')}"
            try:
                await self._connection.execute(update, value, *cell.row)
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
                continue  # The store itself refuses that.
            course = await course_of(self._driver(clock := Clock()), clock)
            wrong += found(cell, value, course)
        return wrong

    async def _types(self, table: str) -> dict[str, str]:
        rows = await self._connection.fetch(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = $1 AND table_name = $2",
            *(self._schema.name, table),
        )
        return dict(rows)

    def _driver(self, clock: Clock) -> PostgresDriver:
        return PostgresDriver(self._schema.dsn, schema=self._schema.name, clock=clock)


@pytest.fixture
async def tables(postgres_schema: Schema) -> AsyncIterator[Tables]:
    connection = await asyncpg.connect(postgres_schema.dsn)
    try:
        tables = Tables(connection, postgres_schema)
        await tables.fill()
        yield tables
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (Cell("jobs", "limits", ("one-1",)), "text"),
        (Cell("jobs_meta", "value", ("worker", "w1")), "text"),
        (Cell("jobs_latches", "completed", ("batch",)), LARGEST),
    ],
    ids=("limits", "presence", "latch"),
)
async def test_postgres(cell: Cell, value: object, tables: Tables) -> None:
    """What did harm once."""
    assert await tables.courses(cell, value) == []


@pytest.mark.faults
@pytest.mark.parametrize("table", TABLES)
async def test_every_cell_on_postgres(table: str, tables: Tables) -> None:
    """The most extreme values of each type: making and using such a store takes a second."""
    cells = [cell for cell in await tables.cells(table) if cell.row not in UNUSED]
    assert cells
    assert [line for cell in cells for line in await tables.courses(cell)] == []
