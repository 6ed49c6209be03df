"""Somebody wrote into the keys of a queue: no worker stops for it, and what can be read goes on."""

from __future__ import annotations

import pytest

from asyncqueue import Queue, Worker
from asyncqueue.errors import DriverError
from asyncqueue.record import Filter, Latch, Limited, On, Source, State
from asyncqueue.testing import Clock

from .acts import Q, claim, ended, opened, operator, record
from .working import RedisNumber


@pytest.mark.parametrize("garbage", [b"", b"x", b"\xff" * 16, b"\0" * 64, b"{}" * 40])
async def test_a_body_that_cannot_be_read_is_put_aside(
    driver, redis_url, redis_prefix, garbage: bytes
) -> None:
    tag = f"{{{redis_prefix}:0}}"
    await driver.enqueue([record("a"), record("b"), record("c")])
    async with operator(redis_url) as other:
        (number, *_) = await other.call("LRANGE", f"{tag}:ready:q:1", 1, 1)
        await other.call("HSET", f"{tag}:body", number, garbage)
        claims = await claim(driver)
        assert [one.id for one in claims] == ["a", "c"]
        assert await driver.settle([ended(one) for one in claims]) == [True, True]
        assert await claim(driver) == []
        assert await other.call("HGET", f"{tag}:damaged", number) == garbage
        assert await other.call("ZCARD", f"{tag}:leased:q") == 0
    assert await driver.find(Filter()) == await driver.find(Filter(ids=()))


async def test_a_state_that_cannot_be_read_stops_nobody(driver, redis_url, redis_prefix) -> None:
    tag = f"{{{redis_prefix}:0}}"
    await driver.enqueue([record("a"), record("b")])
    claims = await claim(driver)
    await driver.settle([ended(one, State.DELAYED) for one in claims])
    async with operator(redis_url) as other:
        (number, *_) = await other.call("ZRANGE", f"{tag}:later:q:1", 0, 0)
        await other.call("HSET", f"{tag}:state", number, b"nonsense")
        assert [one.id for one in await claim(driver)] == ["b"]
        assert await claim(driver) == []
    await driver.sweep()
    await driver.prune(0)
    assert [job.id for job in (await driver.find(Filter())).items] == ["b"]


async def test_strangers_in_the_lines_are_passed_over(driver, redis_url, redis_prefix) -> None:
    tag = f"{{{redis_prefix}:0}}"
    await driver.enqueue([record("a")])
    async with operator(redis_url) as other:
        await other.call("LPUSH", f"{tag}:ready:q:1", "nobody", "", "12")
        await other.call("ZADD", f"{tag}:later:q:1", "-5", "nobody")
        await other.call("ZADD", f"{tag}:leased:q", "-5", "nobody")
        await other.call("ZADD", f"{tag}:ended:q:c", "-5", "nobody")
        await other.call("HSET", f"{tag}:workers", "w", "?")
        await other.call("HSET", f"{tag}:called_off", "7", "?")
    assert [one.id for one in await claim(driver)] == ["a"]
    assert await driver.sweep() == 0
    assert await driver.workers() == []
    assert await driver.called_off("w1") == []
    assert (await driver.counts())["q"].processing == 1


async def test_a_key_of_another_type_is_told_and_spares_other_queues(
    driver, redis_url, redis_prefix
) -> None:
    tag = f"{{{redis_prefix}:0}}"
    await driver.enqueue([record("a"), record("x", queue="other")])
    async with operator(redis_url) as other:
        await other.call("DEL", f"{tag}:ready:q:1")
        await other.call("SET", f"{tag}:ready:q:1", "text")
        with pytest.raises(DriverError, match="prefix of your own"):
            await driver.claim([Q], 1, 30, "w1")
        queue = Queue(driver)
        async with Worker(queue, ["q"], poll_interval=0.01):
            await other.call("DEL", f"{tag}:ready:q:1")
            handle = await queue.dispatch(RedisNumber(1), queue="q")
            await handle.result(timeout=10)
        await queue.close()


@pytest.mark.parametrize("what", ["state", "body"])
async def test_what_a_damaged_job_held_is_free(redis_url, redis_prefix, what: str) -> None:
    """Its key, its permit, its id; and nobody waits for it any more."""
    tag, clock = f"{{{redis_prefix}:0}}", Clock()
    one = (Limited("one", 1),)
    jobs = [record("a", key="k", limits=one, latch="l"), record("next", limits=one)]
    then = record("then", queue="after", latch="l", held=On.END)
    async with opened(redis_url, prefix=redis_prefix, clock=clock) as driver:
        await driver.enqueue([*jobs, then], latches=[Latch("l", b"")])
        assert [one.id for one in await claim(driver)] == ["a"]
        async with operator(redis_url) as other:
            number = await other.call("HGET", f"{tag}:ids", "a")
            await other.call("HSET", f"{tag}:{what}", number, b"nonsense")
        clock.advance(31)
        await driver.sweep()
        (counted,) = await driver.latches(["l"])
        assert (counted.total, counted.skipped) == (1, 1)
        assert [one.id for one in await claim(driver)] == ["next"]
        ready = (await driver.claim([Source("after")], 10, 30, "w1")).claims
        assert [one.id for one in ready] == ["then"]
        assert await driver.enqueue([record("b", key="k"), record("a")]) == [None, None]


async def test_what_a_job_held_that_clients_cannot_read_is_free(
    redis_url, redis_prefix, driver
) -> None:
    """The store can read its body as far as it has to."""
    tag, one = f"{{{redis_prefix}:0}}", (Limited("one", 1),)
    jobs = [record("a", key="k", limits=one, latch="l"), record("next", limits=one)]
    then = record("then", queue="after", latch="l", held=On.END)
    await driver.enqueue([*jobs, then], latches=[Latch("l", b"")])
    async with operator(redis_url) as other:
        number = await other.call("HGET", f"{tag}:ids", "a")
        body = await other.call("HGET", f"{tag}:body", number)
        assert body[25:28] == b"aqk"
        await other.call("HSET", f"{tag}:body", number, body[:28])
        with driver.watch(["queue:after"]) as watch:
            assert await claim(driver) == []
            await watch.wait(10)
            assert watch.rung
        assert await other.call("ZCARD", f"{tag}:leased:q") == 0
    (counted,) = await driver.latches(["l"])
    assert (counted.total, counted.skipped) == (1, 1)
    assert [one.id for one in await claim(driver)] == ["next"]
    assert [one.id for one in (await driver.claim([Source("after")], 10, 30, "w1")).claims] == [
        "then"
    ]
    assert await driver.enqueue([record("b", key="k"), record("a")]) == [None, None]
