"""Ids that look as if nobody could have them yet, and are known all the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncqueue.ids import new_id
from asyncqueue.record import State

from .acts import claim, ended, record, sql, states

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres import PostgresDriver
    from asyncqueue.testing import Clock

    from ...servers.schemas import Schema


async def test_a_known_one_stores_nothing_and_harms_no_other(driver: PostgresDriver) -> None:
    """As with any other id, in whatever state its job is."""
    waiting, running, completed, failed = (new_id() for _ in range(4))
    await driver.enqueue([record(id) for id in (completed, failed, running)])
    first, second, _ = await claim(driver)
    ends = [ended(first, State.COMPLETED), ended(second, State.FAILED)]
    assert await driver.settle(ends) == [True, True]
    await driver.enqueue([record(waiting)])
    fresh = new_id()
    known = [waiting, running, completed, failed]
    assert await driver.enqueue([record(id) for id in [*known, fresh]]) == [*known, None]
    assert await driver.enqueue([record(failed)]) == [failed]
    assert (await states(driver))[fresh] is State.PENDING
    assert len(await states(driver)) == 5


async def test_one_that_is_past_its_retention_is_free_again(
    driver: PostgresDriver, clock: Clock
) -> None:
    id = new_id()
    await driver.enqueue([record(id)])
    (job,) = await claim(driver)
    await driver.settle([ended(job, retention=10)])
    clock.advance(10)
    assert await driver.enqueue([record(id)]) == [None]
    assert await states(driver) == {id: State.PENDING}


async def test_many_that_give_the_same_ones_at_once_store_each_once(
    driver: PostgresDriver, postgres_schema: Schema
) -> None:
    """A producer whose answer was lost dispatches again, maybe while the first try goes on."""
    ids = [new_id() for _ in range(50)]
    answers = await asyncio.gather(
        *(driver.enqueue([record(id) for id in order]) for order in (ids, ids[::-1], ids) * 3)
    )
    stored = [answer for group in answers for answer in group if answer is None]
    assert len(stored) == len(ids)
    (count,) = await sql(postgres_schema.dsn, f"SELECT count(*) FROM {postgres_schema.name}.jobs")
    assert count[0] == len(ids)
