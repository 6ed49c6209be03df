"""Whichever way jobs go, they leave no key behind in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import Extension, Filter, Latch, Limited, On, State
from asyncqueue.testing import Clock

from .acts import Q, claim, ended, opened, operator, record

if TYPE_CHECKING:
    from asyncqueue.drivers.redis import RedisDriver
    from asyncqueue.record import Record

KEPT = {"about", "seq", "blocks", "live"}
"""What tells one job of another, and where they are; not what they were."""
EVERYTHING = Filter(ids=("plain", "bound", "member", "then", "catch", "later"))


def jobs(delay: float = 0.0) -> list[Record]:
    """One of each sort, with two that are held back and one that is delayed."""
    two = (Limited("two", 2),)
    return [
        record("plain", delay=delay),
        record("bound", key="k", limits=two, fair="f", delay=delay),
        record("member", latch="l", key="m", limits=two, delay=delay),
        record("then", latch="l", held=On.SUCCESS, key="t", limits=two, fair="f"),
        record("catch", latch="l", held=On.FAILURE, guards=True),
        record("later", delay=60, fair="f", key="d"),
    ]


async def cancelled(driver: RedisDriver, _: Clock) -> None:
    await driver.cancel(EVERYTHING, 0)


async def deleted(driver: RedisDriver, _: Clock) -> None:
    assert await driver.delete(EVERYTHING) >= 4


async def cancelled_and_kept(driver: RedisDriver, clock: Clock) -> None:
    await driver.cancel(EVERYTHING, 10)
    clock.advance(10)


async def called_off_and_crashed(driver: RedisDriver, clock: Clock) -> None:
    held = await claim(driver)
    await driver.extend([Extension(one.id, one.token, 50.0, "half") for one in held], 30)
    await driver.cancel(EVERYTHING, 0)
    clock.advance(31)
    assert await driver.sweep() == 0


async def failed_and_requeued(driver: RedisDriver, clock: Clock) -> None:
    for state in (State.FAILED, State.COMPLETED):
        held = await claim(driver)
        told = [
            ended(one, state, retention=0, latch=one.latch, error="boom", attempt=b"one")
            for one in held
        ]
        await driver.settle(told)
        await driver.requeue(Filter())
    clock.advance(60)
    await cancelled(driver, clock)


async def failed_and_pruned(driver: RedisDriver, clock: Clock) -> None:
    held = await claim(driver)
    await driver.settle([ended(one, State.FAILED, latch=one.latch) for one in held])
    clock.advance(60)
    await cancelled(driver, clock)
    await driver.delete(Filter(ids=("catch", "then")))
    clock.advance(61)


async def completed_and_stored_again(driver: RedisDriver, clock: Clock) -> None:
    held = await claim(driver)
    told = [ended(one, retention=5, latch=one.latch, attempt=b"one") for one in held]
    await driver.settle(told)
    clock.advance(6)
    await driver.enqueue([record("plain"), record("bound")])
    latches = [Latch("new", b"", retention=0)]
    await driver.enqueue([record("member", latch="new")], latches=latches)
    await driver.settle([ended(one, retention=0, latch=one.latch) for one in await claim(driver)])
    await cancelled(driver, clock)


WAYS = (
    cancelled,
    deleted,
    cancelled_and_kept,
    called_off_and_crashed,
    failed_and_requeued,
    failed_and_pruned,
    completed_and_stored_again,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("standing", ["due", "due in time", "tried"])
async def test_nothing_is_left(redis_url: str, redis_prefix: str, way, standing: str) -> None:
    clock = Clock()
    async with opened(redis_url, prefix=redis_prefix, clock=clock) as driver:
        if standing == "tried":
            for holder in "ab":
                assert await driver.acquire("two", holder, 2, 5) == 0
        delay = 5.0 if standing == "due in time" else 0.0
        await driver.enqueue(jobs(delay), latches=[Latch("l", b"", retention=0)])
        if standing == "tried":
            await driver.settle([ended(one, State.PENDING) for one in await claim(driver)])
        clock.advance(6)
        await way(driver, clock)
        assert await claim(driver, limit=10) == []
        assert await driver.claim([Q], 10, 30, "w1")
        await driver.release("two")
        await driver.sweep()
        await driver.prune(60)
        await driver.prune(60)
    async with operator(redis_url) as other:
        keys = await other.call("KEYS", f"{{{redis_prefix}:0}}:*")
    assert {key.decode().partition("}:")[2] for key in keys} <= KEPT
