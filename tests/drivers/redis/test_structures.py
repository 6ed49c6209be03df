"""Where in Redis jobs are, and that processes share them."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue.errors import DriverUnavailable
from asyncqueue.record import Extension, Filter, Latch, Limited, State
from asyncqueue.testing import Clock

from .acts import claim, ended, opened, operator, record
from .test_workers import PATIENCE, hired, producing
from .working import RedisNumber


@pytest.mark.case("DRV-05")
async def test_ready_jobs_are_in_lists_and_delayed_ones_in_a_sorted_set_by_their_time(
    driver, redis_url: str, redis_prefix: str
) -> None:
    await driver.enqueue([record("ready"), record("b", delay=60), record("a", delay=30)])
    async with operator(redis_url) as other:
        numbers = await other.call("HMGET", f"{{{redis_prefix}:0}}:ids", "ready", "a", "b")
        assert await other.call("LRANGE", f"{{{redis_prefix}:0}}:ready:q:1", 0, -1) == numbers[:1]
        later = await other.call("ZRANGE", f"{{{redis_prefix}:0}}:later:q:1", 0, -1, "WITHSCORES")
        now, _ = await other.call("TIME")
    assert later[::2] == numbers[1:]
    times = [float(score) - int(now) for score in later[1::2]]
    assert times == [pytest.approx(30, abs=5), pytest.approx(60, abs=5)]


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
async def test_a_job_that_is_not_kept_leaves_nothing(
    driver, redis_url: str, redis_prefix: str, state: State
) -> None:
    """Whatever was told of it, and however often it was claimed."""
    two = (Limited("two", 2),)
    many = [record("a"), record("b", key="k", limits=two, fair="f"), record("c", latch="l")]
    await driver.enqueue(many, latches=[Latch("l", b"", retention=0)])
    for told in ({"error": "boom", "attempt": b"one"}, {"error": "boom"}):
        held = await claim(driver)
        await driver.extend([Extension(one.id, one.token, 50.0, "half") for one in held], 30)
        again = [ended(one, State.PENDING, latch=one.latch, **told) for one in held]
        assert list(await driver.settle(again)) == [True] * 3
    await driver.settle(
        [ended(one, state, retention=0, latch=one.latch) for one in await claim(driver)]
    )
    await driver.sweep()
    await driver.prune(60)
    async with operator(redis_url) as other:
        keys = await other.call("KEYS", f"{{{redis_prefix}:0}}:*")
    assert {key.decode().partition("}:")[2] for key in keys} <= {"about", "seq", "blocks", "live"}


async def test_what_was_claimed_is_given_out_though_the_next_step_fails(
    driver, monkeypatch
) -> None:
    """Many are claimed in several steps: the first of them belong to the worker already."""
    await driver.enqueue([record(f"{n}") for n in range(700)])
    shard, steps = driver._shards.only, []
    sound = shard.run

    async def run(verb: str, *words: object) -> object:
        steps.append(verb)
        if steps.count("claim") == 2:
            raise DriverUnavailable("gone in between")
        return await sound(verb, *words)

    monkeypatch.setattr(shard, "run", run)
    assert len(await claim(driver, 700)) == 500
    assert len(await claim(driver, 700)) == 200


@pytest.mark.case("DRV-03")
async def test_jobs_are_there_for_the_next_client(redis_url: str, redis_prefix: str) -> None:
    async with producing(redis_url, redis_prefix) as queue:
        handle = await queue.dispatch(RedisNumber(1))
    async with producing(redis_url, redis_prefix) as later:
        assert (await later.status(handle.id)).state == "pending"
        assert await later.size("default") == 1


@pytest.mark.case("DRV-04")
async def test_two_processes_share_the_jobs_of_one_queue(redis_url: str, redis_prefix: str) -> None:
    async with producing(redis_url, redis_prefix) as queue:
        async with hired(redis_url, redis_prefix) as one, hired(redis_url, redis_prefix) as two:
            async with asyncio.timeout(PATIENCE):
                while len(await queue.workers()) < 2:
                    await asyncio.sleep(0.01)
                handles = await queue.dispatch_many([RedisNumber(n) for n in range(200)])
                for handle in handles:
                    await handle.result()
        ran = [await worker.rest() for worker in (one, two)]
    assert sorted(ran[0] + ran[1]) == list(range(200))
    assert all(ran)


@pytest.mark.case("PRI-01")
async def test_one_that_became_due_comes_after_those_behind_a_crowd_that_went(
    redis_url: str, redis_prefix: str
) -> None:
    """So many that one look does not reach behind them."""
    clock = Clock()
    crowd = [f"gone {n}" for n in range(2500)]
    got = []
    async with opened(redis_url, prefix=redis_prefix, clock=clock) as driver:
        await driver.enqueue([*(record(id) for id in crowd), record("a"), record("b", delay=5)])
        await driver.delete(Filter(ids=tuple(crowd)))
        clock.advance(10)
        while claims := await claim(driver, limit=1):
            got += [one.id for one in claims]
    assert got == ["a", "b"]
