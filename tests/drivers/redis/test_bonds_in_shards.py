"""What is bound to several things that lie in different shards is refused before it is stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, Job, Limit, Queue, Worker
from asyncqueue.errors import DriverError

from .acts import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.redis import RedisDriver

NAMES = ["one", "two", "three", "four", "five", "six"]
"""Of any that are so many some are in different ones of three shards, whatever these are called."""
running: list[int] = []
most: list[int] = []


class Unbound(Job):
    async def handle(self, ctx: Context) -> None:
        """Do nothing."""


class OneAtATime(Job, limit=Limit("one", concurrency=1)):
    n: int = 0

    async def handle(self, ctx: Context) -> None:
        running.append(self.n)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(self.n)


class OfAll(Job, limit=[Limit(name, concurrency=1) for name in NAMES]):
    pass


class OnlyOnce(Job, limit=Limit("one", concurrency=1), unique=True):
    n: int = 0


class OfAnother(Job, limit=Limit("two", concurrency=1)):
    pass


class OfAThird(Job, limit=Limit("three", concurrency=1)):
    pass


class OfASixth(Job, limit=Limit("six", concurrency=1)):
    pass


@pytest.fixture
async def driver(redis_url: str, redis_prefix: str) -> AsyncGenerator[RedisDriver]:
    async with opened(redis_url, prefix=redis_prefix, shards=3) as driver:
        yield driver


async def test_what_cannot_be_bound_is_refused_whole(driver: RedisDriver) -> None:
    others = [OneAtATime(), OfAnother(), OfAThird(), OfASixth()]
    async with Queue(driver) as queue:
        for act, bonds in (
            (lambda: queue.dispatch_many([Unbound(), Unbound(), OfAll()]), ["one", "six"]),
            (lambda: queue.dispatch_many([OnlyOnce(n) for n in range(9)]), ["one", "unique key"]),
            (lambda: queue.batch(Unbound(), *others).dispatch(), ["the limit", "the batch"]),
            (lambda: queue.chain(Unbound(), *others).dispatch(), ["one", "six"]),
            (
                lambda: queue.chain(Unbound(), queue.batch(*others)).dispatch(),
                ["A chain", "one", "six"],
            ),
        ):
            with pytest.raises(DriverError, match=r"different ones.*shards=") as caught:
                await act()
            assert all(bond in str(caught.value) for bond in bonds)
            assert await driver.counts() == {}
            assert await driver.latches() == []


async def test_a_limit_of_later_links_is_one_for_all_chains(driver: RedisDriver) -> None:
    most.clear()
    async with Queue(driver) as queue:
        for n in range(9):
            await queue.chain(Unbound(), OneAtATime(n)).dispatch()
        async with Worker(queue, concurrency=9, poll_interval=0.01, stop_when_empty=True) as worker:
            async with asyncio.timeout(20):
                while len(most) < 9:
                    await asyncio.sleep(0.01)
            await worker.stop()
    assert max(most) == 1
