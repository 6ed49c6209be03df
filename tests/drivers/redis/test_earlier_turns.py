"""Jobs with fair keys of the version before: those that it stored, and while it still runs.

It kept turns in lists, see `adopting.lua`. What is in the file beside this was written by it.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import WAITING, Filter
from asyncqueue.testing import Clock

from .acts import claim, opened, operator, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.redis import RedisDriver
    from asyncqueue.drivers.redis.link import Link

STORED = Path(__file__).with_name("earlier_turns.json")
"""Of a come a0, a1, a2 and a9, which is delayed; b0, which came back, and b1; c0, which runs, and
c1, which waits for the same permit; p0 and p1 without a key."""
PLACE = "q:1"


@pytest.fixture
def tag(redis_prefix: str) -> str:
    return f"{{{redis_prefix}:0}}"


@pytest.fixture
async def other(redis_url: str) -> AsyncGenerator[Link]:
    async with operator(redis_url) as link:
        yield link


@pytest.fixture
def clock() -> Clock:
    """At the time when the file was written."""
    return Clock()


@pytest.fixture
async def driver(redis_url: str, redis_prefix: str, clock: Clock) -> AsyncGenerator[RedisDriver]:
    async with opened(redis_url, prefix=redis_prefix, clock=clock) as driver:
        yield driver


@pytest.fixture
async def stored(other: Link, tag: str) -> None:
    for command, key, *words in json.loads(STORED.read_text("utf-8")):
        await other.call(command, f"{tag}:{key}", *(word.encode("latin-1") for word in words))


async def one_by_one(driver: RedisDriver) -> list[str]:
    got: list[str] = []
    while claims := await claim(driver, limit=1):
        got += [one.id for one in claims]
    return got


async def names(other: Link, tag: str) -> set[str]:
    """The first words of all keys."""
    keys = await other.call("KEYS", f"{tag}:*")
    return {key.decode().partition("}:")[2].partition(":")[0] for key in keys}


async def add_as_before(other: Link, tag: str, fair: str) -> None:
    """What it does where jobs with a key have become due."""
    for number in await other.call("ZRANGE", f"{tag}:later:{PLACE}", 0, -1):
        await other.call("ZREM", f"{tag}:later:{PLACE}", number)
        await other.call("RPUSH", f"{tag}:turn:{PLACE}:{fair}", number)
        await other.call("HINCRBY", f"{tag}:turning", PLACE, 1)
        if await other.call("SADD", f"{tag}:turns:{PLACE}", fair):
            await other.call("RPUSH", f"{tag}:ready:{PLACE}", f"~{fair}")


async def remove_as_before(other: Link, tag: str, id: str) -> None:
    """How it deletes a job that has limits or a key, and was set aside as far as it knows."""
    number = await other.call("HGET", f"{tag}:ids", id)
    key = (await other.call("HGET", f"{tag}:aside", number)).decode()
    await other.call("HDEL", f"{tag}:aside", number)
    await other.call("ZREM", f"{tag}:aside:{PLACE}", number)
    assert await other.call("ZREM", f"{tag}:aside_for:{key}:{PLACE}", number) == 1
    await forget_as_before(other, tag, id)


async def forget_as_before(other: Link, tag: str, id: str) -> None:
    number = await other.call("HGET", f"{tag}:ids", id)
    for name, field in (("ids", id), ("body", number), ("state", number), ("wants", number)):
        await other.call("HDEL", f"{tag}:{name}", field)


@pytest.mark.usefixtures("stored")
async def test_all_that_it_stored_is_claimed_once_and_in_turns(
    driver: RedisDriver, clock: Clock, other: Link, tag: str
) -> None:
    counts = (await driver.counts())["q"]
    assert (counts.pending, counts.delayed, counts.processing) == (8, 1, 1)
    order = await one_by_one(driver)
    assert sorted(order) == ["a0", "a1", "a2", "b0", "b1", "p0", "p1"]
    assert {name[0] for name in order[:3]} == set("abp")
    for key in "abp":
        own = [name for name in order if name[0] == key]
        assert own == sorted(own)
    clock.advance(6)
    assert await one_by_one(driver) == ["a9"]
    clock.advance(30)
    assert await driver.sweep() == 9
    assert len(await one_by_one(driver)) == 9
    assert (await driver.counts())["q"].pending == 1
    assert not await names(other, tag) & {"turn", "turns", "turning"}


@pytest.mark.usefixtures("stored")
async def test_who_waits_for_a_permit_gets_it(driver: RedisDriver) -> None:
    await one_by_one(driver)
    await driver.release("concurrency:one")
    assert await one_by_one(driver) == ["c1"]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("known", [False, True], ids=["not yet taken over", "taken over"])
async def test_what_it_stored_can_be_removed(
    driver: RedisDriver, other: Link, tag: str, known: bool
) -> None:
    first = [one.id for one in await claim(driver, limit=1)] if known else []
    waiting = Filter(ids=("a0", "a1", "a2", "b1", "p0", "c1"), states=WAITING)
    gone = [job.id for job in (await driver.find(waiting)).items]
    await driver.cancel(Filter(ids=tuple(gone[:3])), 3600)
    assert await driver.delete(Filter(ids=tuple(gone[3:]))) == len(gone) - 3
    left = {"b0", "p1", "a0", "a1", "a2", "b1", "p0"} - set(gone) - set(first)
    assert (await driver.counts())["q"].pending == len(left)
    assert set(await one_by_one(driver)) == left
    assert not await names(other, tag) & {"turn", "turns", "turning", "aside"}


async def test_what_it_adds_takes_turns_with_the_others(
    driver: RedisDriver, clock: Clock, other: Link, tag: str
) -> None:
    await driver.enqueue([record(f"{key}{n}", fair=key) for key in "ab" for n in range(3)])
    await driver.enqueue([record(f"late{n}", fair="l", delay=1) for n in range(3)])
    clock.advance(2)
    await add_as_before(other, tag, "l")
    assert (await driver.counts())["q"].pending == 9
    order = [name[0] for name in await one_by_one(driver)]
    assert [set(order[n : n + 3]) for n in (0, 3, 6)] == [set("abl")] * 3
    await driver.enqueue([record("late9", fair="l", delay=1), record("a9", fair="a")])
    clock.advance(2)
    await add_as_before(other, tag, "l")
    assert sorted(await one_by_one(driver)) == ["a9", "late9"]


async def test_what_it_removes_is_neither_claimed_nor_counted(
    driver: RedisDriver, clock: Clock, other: Link, tag: str
) -> None:
    await driver.enqueue([record(f"{key}{n}", fair=key) for key in "ab" for n in range(3)])
    await remove_as_before(other, tag, "a1")
    for n in range(3):
        await remove_as_before(other, tag, f"b{n}")
    assert (await driver.counts())["q"].pending == 2
    assert await one_by_one(driver) == ["a0", "a2"]
    assert (await driver.counts())["q"].pending == 0
    assert not await names(other, tag) & {"aside", "aside_for"}


@pytest.mark.parametrize("end", ["deleted", "cancelled"])
async def test_one_without_a_key_that_it_removed_is_passed_over(
    driver: RedisDriver, clock: Clock, other: Link, tag: str, end: str
) -> None:
    """It does not know that this one stood anywhere."""
    await driver.enqueue([record("a0", fair="a"), record("a1", fair="a", delay=60)])
    await driver.enqueue([record("p0", delay=1), record("p1", delay=2)])
    clock.advance(3)
    assert sorted(one.id for one in await claim(driver, limit=2)) == ["a0", "p0"]
    if end == "deleted":
        await forget_as_before(other, tag, "p1")
    else:
        now = clock.time()
        text = struct.pack(
            ">cIIIhddddH1sHH", b"x", 0, 0, 0, 1, -1, -1, now, now + 60, 1, b"q", 0, 0
        )
        number = await other.call("HGET", f"{tag}:ids", "p1")
        await other.call("HSET", f"{tag}:state", number, text)
        await other.call("ZADD", f"{tag}:ended:q:x", round((now + 60) * 1000), number)
    assert await one_by_one(driver) == []
    assert (await driver.counts())["q"].pending == 0
    clock.advance(60)
    assert await one_by_one(driver) == ["a1"]


@pytest.mark.parametrize("keys", [3, 700], ids=["of few keys", "of many keys"])
async def test_many_are_taken_over_in_steps(
    driver: RedisDriver, clock: Clock, other: Link, tag: str, keys: int
) -> None:
    """No claim takes them all; meanwhile all are counted, and any can be removed."""
    many = 1400
    await driver.enqueue(
        [record(f"{n % keys}/{n}", fair=f"k{n % keys}", delay=1) for n in range(many)]
    )
    await driver.enqueue([record("plain 0"), record("plain 1")])
    clock.advance(2)
    for n in range(keys):
        mine = [f"{n}/{number}" for number in range(n, many, keys)]
        numbers = await other.call("HMGET", f"{tag}:ids", *mine)
        await other.call("ZREM", f"{tag}:later:{PLACE}", *numbers)
        await other.call("RPUSH", f"{tag}:turn:{PLACE}:k{n}", *numbers)
        await other.call("HINCRBY", f"{tag}:turning", PLACE, len(mine))
        await other.call("SADD", f"{tag}:turns:{PLACE}", f"k{n}")
        await other.call("RPUSH", f"{tag}:ready:{PLACE}", f"~k{n}")
    for name in ("fair", f"fair:{PLACE}"):
        await other.call("DEL", f"{tag}:{name}")
    left = many + 2
    assert (await driver.counts())["q"].pending == left
    order = [one.id for one in await claim(driver, limit=6)]
    left -= len(order)
    assert (await driver.counts())["q"].pending == left
    assert await other.call("EXISTS", f"{tag}:turns:{PLACE}") == 1
    removed = [f"{n}/{n}" for n in range(keys) if f"{n}/{n}" not in order][-2:]
    removed += [f"{(many - 1) % keys}/{many - 1}", "plain 1"]
    removed = [id for id in dict.fromkeys(removed) if id not in order]
    left -= await driver.delete(Filter(ids=tuple(removed)))
    assert (await driver.counts())["q"].pending == left
    for _ in range(many):
        claims = await claim(driver, limit=50)
        order += [one.id for one in claims]
        left -= len(claims)
        assert (await driver.counts())["q"].pending == left
        if not left:
            break
    assert len(order) == len(set(order)) == many + 2 - len(removed)
    mine = [id for id in order if id.startswith("2/")]
    assert mine == sorted(mine, key=lambda one: int(one[2:]))
    assert await claim(driver) == []
    assert not await names(other, tag) & {"turn", "turns", "turning", "adopting"}
