"""Schemas of PostgreSQL for one test after another: making tables costs more than most tests."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg

from asyncqueue.drivers.postgres import PostgresDriver

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from psycopg.rows import TupleRow

PREFIX: Final = f"asyncqueue_test_{os.getpid()}_"
LONGEST_WAIT: Final = "1s"
"""For whoever still uses the tables after the test: such a schema is not used again."""
_TABLES: Final = (
    "jobs",
    "failed_jobs",
    "jobs_meta",
    "jobs_latches",
    "jobs_permits",
    "jobs_openings",
)
_EMPTY: Final = ";".join(
    f"DELETE FROM {{schema}}.{table}"
    + (" WHERE kind NOT IN ('schema', 'failed')" if table == "jobs_meta" else "")
    for table in _TABLES
)
_BUILD: Final = """
SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
    SELECT concat_ws(' ', relname, relkind, relacl, reloptions, attname, atttypid, attnotnull)
    FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = to_regnamespace(%(schema)s)
    UNION ALL
    SELECT concat_ws(' ', conname, contype) FROM pg_constraint
    WHERE connamespace = to_regnamespace(%(schema)s)
    UNION ALL
    SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace(%(schema)s)
    UNION ALL
    SELECT tgname FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid
    WHERE relnamespace = to_regnamespace(%(schema)s)
    UNION ALL
    SELECT concat(nspacl) FROM pg_namespace WHERE oid = to_regnamespace(%(schema)s)
) AS build (line)
"""
"""What a schema is made of, in one word: one that a test has changed is not used again."""


class Schema(NamedTuple):
    """Where the tables of one test are."""

    dsn: str
    name: str


class Schemas:
    """Hands out schemas of one database, each to one test at a time."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._numbers = itertools.count(1)
        self._free: list[Schema] = []
        self._as_made: str | None = None
        self._connection: psycopg.Connection[TupleRow] | None = None

    def new(self) -> Schema:
        """One that does not exist yet."""
        return Schema(self._dsn, f"{PREFIX}{next(self._numbers)}")

    def take(self) -> Schema:
        """One that does not exist yet, or whose tables are empty."""
        return self._free.pop() if self._free else self.new()

    def give_back(self, schema: Schema) -> None:
        """Let another test have it, unless it is not what the driver makes."""
        connection = self._connected()
        try:
            if self._is_as_made(connection, schema):
                connection.execute(_EMPTY.format(schema=schema.name).encode())
                self._free.append(schema)
        except psycopg.OperationalError:  # Locked, or the server is gone: the next gets a new one.
            connection.close()

    def drop(self) -> None:
        """Leave nothing behind in a database that was lent."""
        connection = self._connected()
        found = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", [PREFIX]
        )
        for (name,) in found.fetchall():
            connection.execute(f'DROP SCHEMA "{name}" CASCADE'.encode())

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> psycopg.Connection[TupleRow]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, options=f"-c lock_timeout={LONGEST_WAIT}"
            )
        return self._connection

    def _is_as_made(self, connection: psycopg.Connection[TupleRow], schema: Schema) -> bool:
        if self._as_made is None:
            model = self.new()
            _in_a_thread(_make_tables(model))
            self._as_made = _build(connection, model)
        return _build(connection, schema) == self._as_made


def _build(connection: psycopg.Connection[TupleRow], schema: Schema) -> str | None:
    row = connection.execute(_BUILD, {"schema": schema.name}, prepare=True).fetchone()
    return row[0] if row else None


async def _make_tables(schema: Schema) -> None:
    driver = PostgresDriver(schema.dsn, schema=schema.name)
    await driver.open()
    await driver.close()


def _in_a_thread(act: Coroutine[None, None, None]) -> None:
    """The event loop of this thread belongs to the tests."""
    thread = threading.Thread(target=asyncio.run, args=(act,))
    thread.start()
    thread.join()
