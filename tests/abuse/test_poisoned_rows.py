"""Rows that somebody damaged, in every column: others run on, lists go on, and no worker ends."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from asyncqueue import Context, Job, Queue, Worker
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.record import Filter, Source

if TYPE_CHECKING:
    from pathlib import Path

GOOD = 3
ran: list[int] = []


class PoisonNeighbour(Job):
    number: int

    async def handle(self, ctx: Context) -> None:
        ran.append(self.number)


COLUMNS = (
    *("state", "priority", "attempts", "exceptions", "token", "max_attempts", "created_at"),
    *("available_at", "started_at", "leased_until", "finished_at", "expires_at", "worker"),
    *("cancel_keep", "key", "key_hold", "key_until", "progress", "message", "payload", "error"),
    *("result", "traceback", "latch", "part", "history", "name", "queue", "id"),
)
FOUND = {"name", "attempts"}
"""Columns of which a value did stop something once."""
POISONED = [
    pytest.param(column, marks=() if column in FOUND else pytest.mark.faults) for column in COLUMNS
]
LARGEST = 2**63 - 1
SQLITE_VALUES = (
    None,
    b"\xff\xfe",
    b"",
    "",
    "no\x00t",
    "a\nb",
    -1,
    77,
    LARGEST,
    -LARGEST,
    1.5,
    9e999,
)
TEXTS = (None, "", "a\nb", "x" * 100_000, "\ufffe'\"--")
NUMBERS = (None, -1, 0, 77)
POSTGRES_VALUES: dict[str, tuple[Any, ...]] = {
    "text": TEXTS,
    "bytea": (None, b"", b"\xff\xfe", b"\x80\x04."),
    "smallint": (*NUMBERS, 32767, -32768),
    "bigint": (*NUMBERS, LARGEST, -LARGEST),
    "double precision": (None, -1.0, float("nan"), float("inf"), float("-inf"), 1e300),
    "boolean": (None, True, False),
}


async def neighbours_run(queue: Queue) -> None:
    """Good jobs run beside what was damaged, and everything that lists goes on."""
    ran.clear()
    for number in range(GOOD):
        await queue.dispatch(PoisonNeighbour(number), id=f"good-{number}")
    worker = Worker(queue, concurrency=4, poll_interval=0.01, lease=1.0)
    async with worker:
        async with asyncio.timeout(10):
            while not set(range(GOOD)) <= set(ran):
                await asyncio.sleep(0.01)
            for number in range(GOOD):
                while (await queue.status(f"good-{number}")).state != "completed":
                    await asyncio.sleep(0.01)
        assert worker.running
        driver = queue.driver
        await driver.sweep()
        await driver.prune(1e6)
        await driver.counts()
        await driver.find(Filter())
        await driver.claim([Source("elsewhere")], 10, 1.0, "w2")
        await queue.jobs()
        await queue.stats()
        await queue.failed.list()
        assert worker.running


@pytest.mark.parametrize("column", POISONED)
async def test_sqlite(column: str, tmp_path: Path):
    driver = SqliteDriver(tmp_path / "queue.db")
    queue = Queue(driver)
    await driver.open()
    bad = [f"bad-{n}" for n in range(len(SQLITE_VALUES))]
    for job_id in bad:
        await queue.dispatch(PoisonNeighbour(99), id=job_id)
    written = 0
    connection = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
    for job_id, value in zip(bad, SQLITE_VALUES, strict=True):
        try:
            connection.execute(f"UPDATE jobs SET {column} = ? WHERE id = ?", (value, job_id))
        except sqlite3.IntegrityError:
            continue  # The store itself refuses that.
        written += 1
    connection.close()
    try:
        assert written
        await neighbours_run(queue)
    finally:
        await queue.close()
        await driver.close()


@pytest.mark.parametrize("column", POISONED)
async def test_postgres(column: str, postgres_schema):
    driver = PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name)
    queue = Queue(driver)
    await driver.open()
    connection = await asyncpg.connect(postgres_schema.dsn)
    try:
        kind = await connection.fetchval(
            "SELECT data_type FROM information_schema.columns "
            "WHERE table_schema = $1 AND table_name = 'jobs' AND column_name = $2",
            *(postgres_schema.name, column),
        )
        written = 0
        for number, value in enumerate(POSTGRES_VALUES[kind]):
            await queue.dispatch(PoisonNeighbour(99), id=f"bad-{number}")
            try:
                await connection.execute(
                    f'UPDATE "{postgres_schema.name}".jobs SET {column} = $1 WHERE id = $2',
                    *(value, f"bad-{number}"),
                )
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
                continue  # The store itself refuses that.
            written += 1
        assert written
        await neighbours_run(queue)
    finally:
        await connection.close()
        await queue.close()
        await driver.close()
