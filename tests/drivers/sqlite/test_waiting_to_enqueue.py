"""What counts from the call of enqueue goes on counting while it waits for the lock."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import Source, State
from tests.drivers.sqlite.acts import EVERYTHING, claim, record, states
from tests.drivers.sqlite.test_group_commit import Blocker, until_taken

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.sqlite import SqliteDriver
    from asyncqueue.record import Record
    from asyncqueue.testing import Clock

LOCKED = 2.0


@asynccontextmanager
async def enqueueing(driver: SqliteDriver, clock: Clock, *records: Record) -> AsyncGenerator[None]:
    """Records that are given now and stored two seconds later, after the block."""
    blocked = Blocker(driver.path)
    asked = asyncio.create_task(driver.enqueue(records))
    await until_taken(driver)
    yield
    clock.advance(LOCKED)
    blocked.let_go()
    assert await asked == [None] * len(records)


async def test_a_delay_counts_from_the_call(driver: SqliteDriver, clock: Clock) -> None:
    """Due when it was asked for, neither later nor earlier."""
    called_at = clock.time()
    async with enqueueing(driver, clock, record("a", delay=5.0), record("b")):
        pass
    found = {job.id: job for job in (await driver.find(EVERYTHING)).items}
    assert {job.created_at for job in found.values()} == {called_at}
    assert found["a"].available_at == called_at + 5
    assert found["b"].available_at == called_at
    claimed = await driver.claim([Source("q")], 2, 30, "w")
    assert [job.id for job in claimed.claims] == ["b"]
    claimed = await driver.claim([Source("q")], 1, 30, "w")
    assert (claimed.claims, claimed.due_in) == ([], pytest.approx(3))
    clock.advance(2.99)
    assert await claim(driver) == []
    clock.advance(0.01)
    assert [job.id for job in await claim(driver)] == ["a"]


async def test_what_became_due_meanwhile_is_claimed_at_once(
    driver: SqliteDriver, clock: Clock
) -> None:
    """It does not wait for anything else."""
    async with enqueueing(driver, clock, record("a", delay=1.0)):
        pass
    assert await states(driver) == {"a": State.PENDING}
    assert [job.id for job in await claim(driver)] == ["a"]


async def test_equal_due_times_keep_the_order_of_dispatch(
    driver: SqliteDriver, clock: Clock
) -> None:
    """First in, first out."""
    names = [f"{n}" for n in range(20)]
    async with enqueueing(driver, clock, *(record(name, delay=1.0) for name in names)):
        later = [asyncio.create_task(driver.enqueue([record(f"{n}", delay=1.0)])) for n in (20, 21)]
        await asyncio.sleep(0)
    await asyncio.gather(*later)
    assert [job.id for job in await claim(driver)] == [*names, "20", "21"]


async def test_the_time_of_a_key_counts_from_the_call(driver: SqliteDriver, clock: Clock) -> None:
    """A key is free for those who call after its time, whenever they are stored."""
    async with enqueueing(driver, clock, record("a", key="k", key_ttl=3.0)):
        pass
    blocked = Blocker(driver.path)
    clock.advance(0.9)
    early = asyncio.create_task(driver.enqueue([record("b", key="k")]))
    await until_taken(driver)
    clock.advance(0.1)
    late = asyncio.create_task(driver.enqueue([record("c", key="k")]))
    await asyncio.sleep(0)
    blocked.let_go()
    assert await asyncio.gather(early, late) == [["a"], [None]]
