"""The tables of the drivers for databases, as a stranger sees them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import asyncpg
import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.sqlite import SqliteDriver

FACTS = {"id", "queue", "name", "payload", "attempts", "created_at", "available_at", "started_at"}
LIVE = FACTS | {"state", "priority", "worker", "leased_until", "max_attempts"}
FAILED = FACTS | {"error", "traceback", "finished_at"}


@pytest.fixture(params=["postgres", "sqlite"])
def store(request, tmp_path):
    """A driver, and how to look at the columns of a table of its own."""
    if request.param == "sqlite":

        async def columns(table):
            with closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
                return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}

        return SqliteDriver(tmp_path / "queue.db"), columns
    place = request.getfixturevalue("new_postgres_schema")

    async def columns(table):
        connection = await asyncpg.connect(place.dsn)
        found = await connection.fetch(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = $1 AND table_name = $2",
            place.name,
            table,
        )
        await connection.close()
        return {row["column_name"] for row in found}

    return PostgresDriver(place.dsn, schema=place.name), columns


@pytest.mark.case("DRV-16")
async def test_tables_are_made_once_and_hold_what_a_record_needs(store):
    driver, columns = store
    assert await columns("jobs") == set()
    await driver.open()
    live, failed = await columns("jobs"), await columns("failed_jobs")
    again = driver.clone()
    await again.open()
    await again.close()
    assert (await columns("jobs"), await columns("failed_jobs")) == (live, failed)
    await driver.close()
    assert live >= LIVE
    assert failed >= FAILED
