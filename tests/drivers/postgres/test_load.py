"""Everything at once, and what should not be in the tables."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue import Context, Job, Queue, Registry, Worker
from asyncqueue.record import Extension, Filter, Source, State

from .acts import LEASE, claim, ended, record, sql

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres import PostgresDriver

    from ...servers.schemas import Schema

ROUNDS = 25
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


async def test_a_mixed_load_never_deadlocks(
    driver: PostgresDriver, postgres_schema: Schema
) -> None:
    """Rows are locked in one order: the server has no deadlock to resolve."""
    before = await sql(postgres_schema.dsn, DEADLOCKS)
    handles = [driver, driver.clone(), driver.clone()]
    for handle in handles[1:]:
        await handle.open()
    lots = random.Random(7)
    held = []

    async def produce(n: int) -> None:
        for k in range(ROUNDS):
            ids = [f"{n}-{k}-{i}" for i in range(40)]
            lots.shuffle(ids)
            await handles[n % 3].enqueue([record(id) for id in ids])

    async def consume(n: int) -> None:
        for _ in range(ROUNDS):
            got = await claim(handles[n % 3], 40)
            held.extend(got)
            lots.shuffle(got)
            await handles[n % 3].extend([Extension(c.id, c.token, 50) for c in got], LEASE)
            ends = [
                ended(c, lots.choice([State.COMPLETED, State.PENDING, State.FAILED])) for c in got
            ]
            await handles[(n + 1) % 3].settle(ends)

    async def disturb(n: int) -> None:
        handle = handles[n % 3]
        for _ in range(ROUNDS):
            some = lots.sample(held, min(len(held), 60))
            await handle.extend([Extension(c.id, c.token) for c in some], LEASE)
            await handle.cancel(Filter(ids=tuple(c.id for c in some)), 60)
            await handle.sweep()
            await handle.requeue(Filter(states=(State.FAILED,)))
            await handle.delete(Filter(states=(State.CANCELLED,)))
            await handle.prune(0)

    works = [act(n) for n in range(3) for act in (produce, consume, disturb)]
    await asyncio.gather(*works)
    assert await sql(postgres_schema.dsn, DEADLOCKS) == before
    for handle in handles[1:]:
        await handle.close()


@pytest.mark.case("DRV-15")
async def test_a_claim_does_not_wait_for_rows_that_others_hold(
    driver: PostgresDriver, postgres_schema: Schema
) -> None:
    await driver.enqueue([record(f"{n}") for n in range(5)])
    stranger = await asyncpg.connect(postgres_schema.dsn)
    holding = stranger.transaction()
    await holding.start()
    await stranger.execute(
        f"SELECT * FROM {postgres_schema.name}.jobs WHERE id IN ('0', '1') FOR UPDATE"
    )
    async with asyncio.timeout(9):
        assert [job.id for job in await claim(driver)] == ["2", "3", "4"]
    await holding.rollback()
    assert [job.id for job in await claim(driver)] == ["0", "1"]
    await stranger.close()


async def test_claims_go_on_where_they_were(driver: PostgresDriver, clock) -> None:
    """What is more urgent or was put back comes first all the same."""
    other = driver.clone()
    await other.open()
    await driver.enqueue([record(f"{n:03}") for n in range(400)])
    first = await claim(driver, 100)
    assert [job.id for job in first] == [f"{n:03}" for n in range(100)]
    await driver.enqueue([record("urgent", priority=9), record("last")])
    assert [job.id for job in await claim(driver, 100)][:2] == ["urgent", "100"]
    await driver.settle([ended(first[5], State.PENDING)])
    assert [job.id for job in await claim(driver, 100)][:2] == ["005", "199"]
    # What others put back is found when the mark is old, or nothing else is left.
    await other.settle([ended(first[6], State.PENDING), ended(first[7], State.DELAYED, delay=5)])
    clock.advance(5)
    rest = [job.id for job in await claim(driver, 500)]
    assert {"006", "007", "last"} < set(rest)
    assert len(rest) == 105
    await other.close()


async def test_a_claim_that_goes_on_sees_what_became_due_or_was_paused(
    driver: PostgresDriver, clock
) -> None:
    """The short statement of a worker that is busy gives way to the long one where it must."""
    await driver.enqueue([record(f"{n:03}") for n in range(400)])
    await driver.enqueue([record("late", delay=5), record("later", priority=3, delay=6)])
    await claim(driver, 100)
    assert [job.id for job in await claim(driver, 100)] == [f"{n}" for n in range(100, 200)]
    clock.advance(5)
    assert "late" not in {job.id for job in await claim(driver, 100)}
    clock.advance(1)
    assert [job.id for job in await claim(driver, 50)][:2] == ["later", "300"]
    await driver.pause(["q"], True)
    assert await claim(driver, 50) == []
    await driver.pause(["q"], False)
    assert [job.id for job in await claim(driver, 52)][-2:] == ["399", "late"]


async def test_a_claim_does_not_walk_over_what_an_old_transaction_keeps(
    driver: PostgresDriver, postgres_schema: Schema
) -> None:
    """A snapshot that stays open keeps every claimed job's index entry."""
    await driver.enqueue([record(f"{n}") for n in range(6000)])
    stranger = await asyncpg.connect(postgres_schema.dsn)
    snapshot = stranger.transaction(isolation="repeatable_read")
    await snapshot.start()
    await stranger.fetch("SELECT 1")
    for _ in range(10):
        assert len(await claim(driver, 500)) == 500
    mark = driver._marks.of([Source("q")])
    assert mark is not None
    sought = f"SELECT seq FROM {postgres_schema.name}.jobs WHERE state = 0 AND queue = 'q'"
    order = "ORDER BY priority DESC, available_at, seq LIMIT 1"
    place = (
        f"priority = {mark.priority} AND (available_at, seq) > ({mark.available_at}, {mark.seq})"
    )
    from_the_beginning = await blocks_read(postgres_schema.dsn, f"{sought} {order}")
    from_the_mark = await blocks_read(postgres_schema.dsn, f"{sought} AND {place} {order}")
    await snapshot.rollback()
    await stranger.close()
    assert from_the_mark < from_the_beginning / 4


async def blocks_read(dsn: str, statement: str) -> int:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    found = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
    await connection.close()
    return json.loads(found)[0]["Plan"]["Shared Hit Blocks"]


async def test_garbage_rows_never_stop_a_worker(driver: PostgresDriver, postgres_schema) -> None:
    """Somebody wrote into the table by hand; what cannot be read fails alone."""
    ran = []
    registry = Registry()

    class Good(Job, replace=True):
        async def handle(self, ctx: Context) -> None:
            ran.append(ctx.job_id)

    registry.register(Good)
    queue = Queue(driver, registry=registry)
    await queue.ready()
    await sql(
        postgres_schema.dsn,
        f"INSERT INTO {postgres_schema.name}.jobs "
        "(id, queue, name, state, priority, created_at, available_at, payload, attempts) VALUES "
        "('no envelope', 'default', 'Good', 0, 1, 0, 0, '\\xc1ff00', 0), "
        "('empty', 'default', '', 0, 99, 'nan', '-infinity', '', -5), "
        "('odd state', 'default', 'Good', 77, 1, 0, 0, '', 0), "
        "('never due', 'default', 'Good', 1, 1, 0, 'infinity', '', 9223372036854775807), "
        "('unknown', 'default', 'Nobody knows', 0, -32768, 0, 0, 'x', 0)",
    )
    handle = await queue.dispatch(Good())
    await Worker(queue, concurrency=2, stop_when_empty=True, lease=LEASE).run()
    assert ran == [handle.id]
    failed = (await queue.failed.list()).items
    assert {job.id for job in failed} == {"no envelope", "empty", "unknown"}
    await driver.sweep()
    assert (await driver.claim([Source("default")], 5, LEASE, "w")).claims == []
    await driver.counts()
    await driver.delete(Filter(ids=("never due",)))
    await queue.close()


async def test_texts_of_any_kind_are_kept(driver: PostgresDriver) -> None:
    """What no database text can hold is replaced, the rest stays."""
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    odd = "NUL \0, lone \ud800, é, 🐝"
    assert await driver.settle([ended(held, State.FAILED, error=odd, traceback=odd)]) == [True]
    (job,) = (await driver.find(Filter())).items
    assert job.error == job.traceback == "NUL \ufffd, lone ?, é, 🐝"


async def test_many_due_at_once_come_in_bounded_steps(driver: PostgresDriver, clock) -> None:
    """More than one claim looks at are due in the same instant."""
    await driver.enqueue([record(f"{n}", delay=5, priority=n % 2) for n in range(2500)])
    clock.advance(5)
    got = [job for _ in range(5) for job in await claim(driver, 500)]
    assert len({job.id for job in got}) == 2500
    assert await claim(driver) == []
    assert await driver.count(Filter(states=(State.PROCESSING,))) == 2500
