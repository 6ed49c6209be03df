"""One new job is stored, and plain jobs are claimed, by shorter ways: the same comes of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue.drivers.redis.connecting import Router
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.drivers.redis.moving import words_of
from asyncqueue.drivers.redis.watching import Subscriptions
from asyncqueue.record import Filter, Limited, Source, State
from asyncqueue.testing import Clock

from .acts import Q, claim, ended, opened, operator, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.redis import RedisDriver
    from asyncqueue.drivers.redis.link import Link

TWO = [Q, Source("unused")]
"""Whoever asks for two queues goes the long way."""


class Shard:
    """All that a store has, and whatever somebody else writes there."""

    def __init__(self, other: Link, prefix: str) -> None:
        self.tag = f"{{{prefix}:0}}:"
        self._other = other

    async def write(self, command: str, key: str, *words: str) -> None:
        await self._other.call(command, self.tag + key, *words)

    async def contents(self) -> dict[bytes, Any]:
        keys = sorted(await self._other.call("KEYS", f"{self.tag}*"))
        return {key: await self._other.call("DUMP", key) for key in keys}

    async def clear(self) -> None:
        await self._other.call("DEL", self.tag, *await self._other.call("KEYS", f"{self.tag}*"))


@contextlib.asynccontextmanager
async def listening(url: str, tag: str) -> AsyncGenerator[asyncio.Queue[Any]]:
    """What is told with the rings of the queue."""
    told = asyncio.Queue[Any]()
    rings = Subscriptions(Router(place_of(url), [""]), [tag], lambda *ring: told.put_nowait(ring))
    rings.start()
    async with asyncio.timeout(10):
        with rings.open(["queue:q"]) as watch:
            await watch.wait(5)  # It rings once it is heard.
            while not told.empty():
                told.get_nowait()
            yield told
    await rings.stop()


async def others_wait(driver: RedisDriver) -> None:
    await driver.enqueue([record("x"), record("y")])


async def others_waited(driver: RedisDriver) -> None:
    await others_wait(driver)
    await claim(driver)


async def others_were_there(driver: RedisDriver) -> None:
    await others_waited(driver)
    await claim(driver)


SEQ = ("SET", "seq")
BEFORE = {
    "nobody": (None, []),
    "others wait": (others_wait, []),
    "others waited": (others_waited, []),
    "others were there": (others_were_there, []),
    "a new block": (others_wait, [(*SEQ, "1000000000999")]),
    "the last of low numbers": (others_wait, [(*SEQ, "999999999999")]),
    "the first of high numbers": (None, [(*SEQ, "1000000000000")]),
    "a low number": (others_wait, [(*SEQ, "7")]),
    "a long number": (others_wait, [(*SEQ, "9999999999999")]),
    "no number": (others_wait, [(*SEQ, "garbage")]),
    "no count": (others_wait, [("HSET", "live", "1000000000", "garbage")]),
    "a count of nobody": (others_wait, [("HSET", "live", "1000000000", "0")]),
}


@pytest.mark.parametrize("before", BEFORE)
async def test_a_new_job_is_stored_as_any_other(
    before: str, redis_url: str, redis_prefix: str
) -> None:
    act, commands = BEFORE[before]
    clock, left = Clock(), []
    async with operator(redis_url) as other:
        shard = Shard(other, redis_prefix)
        for fresh in (False, True):
            await shard.clear()
            async with opened(redis_url, prefix=redis_prefix, clock=clock) as driver:
                if act is not None:
                    await act(driver)
                for command in commands:
                    await shard.write(*command)
                async with listening(redis_url, shard.tag[:-1]) as told:
                    assert await driver.enqueue([record("a", fresh=fresh)]) == [None]
                    assert await told.get() == (0, "queue:q", b"1 1 ")
                left.append(await shard.contents())
    assert left[0] == left[1]


async def plain(driver: RedisDriver) -> None:
    await driver.enqueue([record(f"{n}") for n in range(3)])


async def nothing_left(driver: RedisDriver) -> None:
    await plain(driver)
    await claim(driver)


async def late(driver: RedisDriver) -> None:
    await driver.enqueue([record("late", delay=5), record("a"), record("b")])


async def late_only(driver: RedisDriver) -> None:
    await driver.enqueue([record("late", delay=5)])


async def levels(driver: RedisDriver) -> None:
    await driver.enqueue([record("a"), record("b", priority=-3), record("c", priority=7)])


async def keyed(driver: RedisDriver) -> None:
    await driver.enqueue([record("a"), record("b", key="k"), record("c")])


async def limited(driver: RedisDriver) -> None:
    one = (Limited("one", 1),)
    await driver.enqueue([record("a", limits=one), record("b", limits=one), record("c")])


async def one_is_aside(driver: RedisDriver) -> None:
    await limited(driver)
    await claim(driver)


async def gaps(driver: RedisDriver) -> None:
    await plain(driver)
    await driver.delete(Filter(ids=("0", "1")))


async def came_back(driver: RedisDriver) -> None:
    await plain(driver)
    (one, *_) = await claim(driver, limit=1)
    await driver.settle([ended(one, State.PENDING)])


async def paused(driver: RedisDriver) -> None:
    await plain(driver)
    await driver.pause(["q"], on=True)


async def fair(driver: RedisDriver) -> None:
    await driver.enqueue([record("a"), record("b", fair="f"), record("c", fair="g")])


STANDING = [plain, nothing_left, late, late_only, came_back, levels, keyed, limited, one_is_aside]
STANDING += [gaps, paused, fair]


@contextlib.asynccontextmanager
async def standing_anew(
    standing: Any, url: str, prefix: str, clock: Clock
) -> AsyncGenerator[tuple[RedisDriver, Shard]]:
    """A store that holds this and nothing else."""
    async with operator(url) as other:
        shard = Shard(other, prefix)
        await shard.clear()
        async with opened(url, prefix=prefix, clock=clock) as driver:
            await standing(driver)
            yield driver, shard


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("standing", STANDING)
async def test_jobs_of_one_line_are_claimed_as_any_others(
    standing: Any, limit: int, redis_url: str, redis_prefix: str
) -> None:
    clock = Clock()
    claimed, left = [], []
    for sources in (TWO, [Q]):
        async with standing_anew(standing, redis_url, redis_prefix, clock) as (driver, shard):
            for _ in range(4):
                claimed.append(await driver.claim(sources, limit, 30, "w1"))
                left.append(await shard.contents())
    assert claimed[:4] == claimed[4:]
    assert left[:4] == left[4:]


@pytest.mark.parametrize("look_at", [1, 100])
@pytest.mark.parametrize("limit", [1, 4])
@pytest.mark.parametrize("standing", STANDING)
async def test_what_is_left_of_one_line_is_told_as_of_any_others(
    standing: Any, limit: int, look_at: int, redis_url: str, redis_prefix: str
) -> None:
    clock, told = Clock(), []
    for sources in (TWO, [Q]):
        async with standing_anew(standing, redis_url, redis_prefix, clock) as (driver, _):
            (scripts,) = driver._shards.all
            asked = (limit, "30.0", "w1", look_at, *words_of(sources))
            told.append([await scripts.run("claim", *asked) for _ in range(4)])
    assert told[0] == told[1]
