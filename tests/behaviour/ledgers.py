"""A table of the handlers' own beside the queue's, on each driver that has transactions."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import asyncpg

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.sqlite import SqliteDriver

if TYPE_CHECKING:
    from pathlib import Path

    from asyncqueue.testing import Clock

    from ..servers.schemas import Schema


class SqliteLedger:
    """The table in the queue's own file."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.driver = SqliteDriver(path, clock=clock)

    async def create(self) -> None:
        async with self.transaction(commits=True) as connection:
            connection.execute("CREATE TABLE done (what TEXT)")

    async def insert(self, connection: sqlite3.Connection, what: str) -> None:
        connection.execute("INSERT INTO done VALUES (?)", (what,))

    async def rows(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            found = connection.execute("SELECT what FROM done ORDER BY rowid").fetchall()
        return [what for (what,) in found]

    @contextlib.asynccontextmanager
    async def transaction(self, *, commits: bool):
        """A transaction of the caller's own, which ends as it is told."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            yield connection
            if commits:
                connection.commit()
            else:
                connection.rollback()


class PostgresLedger:
    """The table in the queue's own schema."""

    def __init__(self, place: Schema, clock: Clock) -> None:
        self.place = place
        self.driver = PostgresDriver(place.dsn, schema=place.name, clock=clock)

    async def create(self) -> None:
        async with self.transaction(commits=True) as connection:
            await connection.execute(f"CREATE TABLE {self.place.name}.done (seq serial, what text)")

    async def insert(self, connection: asyncpg.Connection, what: str) -> None:
        await connection.execute(f"INSERT INTO {self.place.name}.done (what) VALUES ($1)", what)

    async def rows(self) -> list[str]:
        async with self.transaction(commits=False) as connection:
            found = await connection.fetch(f"SELECT what FROM {self.place.name}.done ORDER BY seq")
        return [what for (what,) in found]

    @contextlib.asynccontextmanager
    async def transaction(self, *, commits: bool):
        """A transaction of the caller's own, which ends as it is told."""
        connection = await asyncpg.connect(self.place.dsn)
        try:
            transaction = connection.transaction()
            await transaction.start()
            yield connection
            await (transaction.commit() if commits else transaction.rollback())
        finally:
            await connection.close()
