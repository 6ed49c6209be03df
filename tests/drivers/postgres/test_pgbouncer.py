"""Behind a pooler in transaction mode: no call may rely on a connection that it had before."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue import Context, Job, Queue, Registry, Worker
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.testing.conformance.claims import ClaimRules
from asyncqueue.testing.conformance.keys import KeyRules
from asyncqueue.testing.conformance.settling import SettleRules
from asyncqueue.testing.conformance.watching import WatchRules

from ...servers.pgbouncer import PROGRAM_VARIABLE, PgBouncer, find_program
from ...servers.postgres import short_folder
from .acts import claim, ended, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from asyncqueue.testing import Clock

    from ...servers.schemas import Schema

pytestmark = pytest.mark.partial


@pytest.fixture(scope="module")
def pooler(postgres_url: str) -> Iterator[PgBouncer]:
    program = find_program()
    if program is None:
        # No Python package brings it, so only who names one is owed these tests.
        text = f"PgBouncer is not installed; install it or set {PROGRAM_VARIABLE}"
        (pytest.fail if os.environ.get(PROGRAM_VARIABLE) else pytest.skip)(text)
    folder = short_folder()
    pooler = PgBouncer(program, folder, postgres_url)
    pooler.start()
    yield pooler
    pooler.stop()
    shutil.rmtree(folder, ignore_errors=True)


def pooled(pooler: PgBouncer, place: Schema, **options) -> PostgresDriver:
    return PostgresDriver(
        pooler.url,
        schema=place.name,
        statement_cache_size=0,
        listen_dsn=place.dsn,
        **options,
    )


@pytest.mark.case("DRV-07")
class TestBehindPgBouncer(ClaimRules, SettleRules, KeyRules, WatchRules):
    @pytest.fixture(autouse=True)
    def place(self, pooler: PgBouncer, postgres_schema: Schema) -> None:
        self.pooler, self.place = pooler, postgres_schema

    def make_driver(self, clock: Clock) -> PostgresDriver:
        return pooled(self.pooler, self.place, clock=clock)


@pytest.fixture
async def driver(pooler: PgBouncer, postgres_schema: Schema) -> AsyncGenerator[PostgresDriver]:
    driver = pooled(pooler, postgres_schema)
    await driver.open()
    yield driver
    await driver.close()


@pytest.mark.case("TXN-01")
async def test_transactions_of_handlers_and_callers(driver: PostgresDriver, pooler) -> None:
    connection = await asyncpg.connect(pooler.url, statement_cache_size=0)
    async with connection.transaction():
        await driver.enqueue([record("a")], within=connection)
    await connection.close()
    (held,) = await claim(driver)
    async with driver.transaction(ended(held)) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert (await driver.counts())["q"].completed == 1


async def test_a_worker_drains_a_queue(driver: PostgresDriver) -> None:
    ran: list[int] = []
    registry = Registry()

    class Notes(Job, replace=True):
        n: int

        async def handle(self, ctx: Context) -> None:
            await asyncio.sleep(0)
            ran.append(self.n)

    registry.register(Notes)
    async with Queue(driver, registry=registry) as queue:
        await asyncio.gather(*(queue.dispatch(Notes(n)) for n in range(300)))
        await Worker(queue, concurrency=20, stop_when_empty=True).run()
    assert sorted(ran) == list(range(300))
