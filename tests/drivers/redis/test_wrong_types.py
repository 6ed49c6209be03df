"""Somebody overwrote one of the keys: the error names it, and no job is lost for it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.errors import DriverError
from asyncqueue.record import Filter, Latch, Limited, Source, State
from asyncqueue.testing import Clock
from asyncqueue.testing.conformance.rules import claim, record, settlement

from .acts import operator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncqueue.drivers.redis.link import Link
    from asyncqueue.record import Record

KEYS = ["body", "state", "leased:q", "ended:q:c", "outcome", "ids", "permits:k", "aside", "latches"]
KEYS += [
    "later:q:1",
    "ready:q:1",
    "fair:q:1",
    "wants",
    "ties",
    "history",
    "queues",
    "paused",
    "gaps",
]
KEYS += ["aside:q:1", "live", "blocks", "holders", "progress", "levels:q", "permits:other", "fair"]


class Place:
    """A store, and one of its keys in the way of somebody else."""

    def __init__(self, driver: RedisDriver, other: Link, tag: str, clock: Clock) -> None:
        self.driver, self.clock = driver, clock
        self._other, self._tag = other, tag
        self._kept: bytes | None = None

    async def overwrite(self, name: str) -> None:
        self._kept = await self._other.call("DUMP", f"{self._tag}:{name}")
        await self._other.call("SET", f"{self._tag}:{name}", "text")

    async def put_back(self, name: str) -> None:
        await self._other.call("DEL", f"{self._tag}:{name}")
        if self._kept is not None:
            await self._other.call("RESTORE", f"{self._tag}:{name}", 0, self._kept)

    async def tried(self, act: object) -> str:
        """What it said, if it did not work."""
        try:
            await act  # type: ignore[misc]
        except DriverError as error:
            return str(error)
        return ""


@pytest.fixture
async def place(redis_url: str, redis_prefix: str) -> AsyncIterator[Place]:
    driver = RedisDriver(redis_url, prefix=redis_prefix, clock=(clock := Clock()))
    await driver.open()
    async with operator(redis_url) as other:
        yield Place(driver, other, f"{{{redis_prefix}:0}}", clock)
    await driver.close()


def jobs(kind: str) -> list[Record]:
    if kind == "plain":
        return [record(f"job {n}") for n in range(14)]
    limits = (Limited("k", 2), Limited("other", 5))
    some = [record(f"limited {n}", limits=limits) for n in range(4)]
    some += [record(f"member {n}", latch="l", key=f"key {n}") for n in range(2)]
    some += [record(f"late {n}", delay=1) for n in range(2)]
    if kind == "in turns":
        some += [record(f"fair {n}", fair=f"tenant {n % 2}") for n in range(4)]
    return some


async def run_all(place: Place) -> list[str]:
    """Complete what can be claimed."""
    done: list[str] = []
    for _ in range(20):
        place.clock.advance(31)
        await place.driver.sweep()
        claims = await claim(place.driver)
        done += [one.id for one in claims]
        await place.driver.settle([settlement(one, State.COMPLETED) for one in claims])
    return done


@pytest.mark.parametrize("kind", ["plain", "rare", "in turns"])
@pytest.mark.parametrize("name", KEYS)
async def test_a_claim_loses_nobody(place: Place, kind: str, name: str) -> None:
    some = jobs(kind)
    await place.driver.enqueue(some, latches=[Latch("l")])
    back = [settlement(one, State.PENDING) for one in await claim(place.driver, limit=2)]
    await place.driver.settle(back)
    place.clock.advance(2)
    await place.overwrite(name)
    said = await place.tried(claim(place.driver, limit=3))
    said += await place.tried(claim(place.driver, limit=3))
    await place.put_back(name)
    if said and not name.startswith("permits"):
        assert f":{name} is a string and no " in said
    assert sorted(set(await run_all(place))) == sorted(job.id for job in some)
    for job in some:
        assert await state_of(place.driver, job.id) is State.COMPLETED


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("name", KEYS)
async def test_a_settlement_loses_nobody(place: Place, name: str, linked: bool) -> None:
    some = jobs("in turns") if linked else jobs("plain")
    await place.driver.enqueue(some, latches=[Latch("l")])
    claims = await claim(place.driver)
    ways = itertools.cycle(
        (state, retention, result)
        for state in (State.COMPLETED, State.FAILED, State.DELAYED)
        for retention in (0, 3600)
        for result in (None, b"result")
    )
    ends = [
        settlement(one, state, retention=retention, result=result)
        for one, (state, retention, result) in zip(claims, ways, strict=False)
    ]
    await place.overwrite(name)
    said = await place.tried(place.driver.settle(ends))
    await place.put_back(name)
    if said and not name.startswith("permits"):
        assert f":{name} is a string and no " in said
    left = {job.id for job in (await place.driver.find(Filter(), limit=1000)).items}
    ended = {job.id for job in some} - left
    ended |= await ids_of(place.driver, State.COMPLETED, State.FAILED)
    again = set(await run_all(place))
    assert ended | again == {job.id for job in some}
    if not said:
        assert not ended & again


async def test_what_was_claimed_before_is_told(place: Place) -> None:
    """The next claim meets the error."""
    await place.driver.enqueue([record("a"), record("b", "other")])
    await place.overwrite("later:other:1")
    sources = [Source("q"), Source("other")]
    assert [one.id for one in await claim(place.driver, *sources)] == ["a"]
    with pytest.raises(DriverError, match=r":later:other:1 is a string and no zset"):
        await claim(place.driver, *sources)
    await place.put_back("later:other:1")
    assert [one.id for one in await claim(place.driver, *sources)] == ["b"]


async def test_a_sweep_loses_nobody(place: Place) -> None:
    await place.driver.enqueue([record("a"), record("b")])
    await claim(place.driver)
    place.clock.advance(60)
    await place.overwrite("later:q:1")
    with pytest.raises(DriverError, match=r":later:q:1 is a string and no zset"):
        await place.driver.sweep()
    await place.put_back("later:q:1")
    assert await place.driver.sweep() == 2
    assert [one.id for one in await claim(place.driver)] == ["a", "b"]


@pytest.mark.parametrize("name", ["body", "state", "leased:q"])
async def test_the_order_is_kept(place: Place, name: str) -> None:
    names = [f"job {n}" for n in range(9)]
    await place.driver.enqueue([record(name) for name in names])
    for _ in range(2):
        await place.overwrite(name)
        assert f":{name} is a string and no " in await place.tried(claim(place.driver, limit=4))
        await place.put_back(name)
    assert [one.id for one in await claim(place.driver)] == names


async def state_of(driver: RedisDriver, id: str) -> State | None:
    found = (await driver.find(Filter(ids=(id,)))).items
    return found[0].state if found else None


async def ids_of(driver: RedisDriver, *states: State) -> set[str]:
    return {job.id for job in (await driver.find(Filter(states=states), limit=1000)).items}
