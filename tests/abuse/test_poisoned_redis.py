"""Garbage in every key of a queue in Redis, and in every field and set: the others run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from asyncqueue import Queue, Worker
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.errors import ConfigError
from asyncqueue.record import Source
from asyncqueue.testing import Clock

from ..drivers.redis.acts import operator
from ..drivers.redis.working import RedisNumber
from .poison import BATCH, DONE, LIMITED, Course, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncqueue.drivers.redis.link import Link

GARBAGE = {
    "nothing": b"",
    "text": b"garbage",
    "ones": b"\xff" * 80,
    "zeros": b"\x00" * 80,
    "minus one": b"-1",
    "nan": b"nan",
    "digits": b"9" * 400,
    "lines": b"a:b:c\n",
    "infinities": b"\x7f\xf0" * 40,
}
OF_A_BATCH = {b"latches", b"held:batch", b"ties", b"members:batch"}
"""Keys of which one thing damaged may be the end of a batch, but of nothing else."""


class Spot(NamedTuple):
    """Where somebody writes: the key, its type, and which field if it is a hash."""

    key: bytes
    type: bytes
    field: bytes | None = None


class Store:
    """The keys of a shard, as somebody else sees them."""

    def __init__(self, other: Link, tag: str) -> None:
        self.ids: dict[bytes, str] = {}
        self._other, self._tag = other, f"{tag}:"
        self._kept: dict[bytes, bytes] = {}

    async def keep(self) -> None:
        """Remember how it is now."""
        for key in await self._keys():
            self._kept[key] = await self._other.call("DUMP", key)
        told = await self._other.call("HGETALL", f"{self._tag}ids")
        self.ids = {number: id.decode() for id, number in zip(told[::2], told[1::2], strict=True)}

    async def restore(self) -> None:
        """Let it be as it was then."""
        if keys := await self._keys():
            await self._other.call("DEL", *keys)
        for key, dump in self._kept.items():
            await self._other.call("RESTORE", key, 0, dump)

    async def spots(self) -> list[Spot]:
        """Every key, and every field of each hash."""
        found: list[Spot] = []
        for key in sorted(self._kept):
            kind = await self._other.call("TYPE", key)
            found.append(Spot(key.removeprefix(self._tag.encode()), kind))
            if kind == b"hash":
                fields = await self._other.call("HKEYS", key)
                found += [found[-1]._replace(field=field) for field in sorted(fields)]
        return found

    async def damage(self, spot: Spot, garbage: bytes) -> None:
        """Write there: over the field or the text; or as something more in it."""
        key = self._tag.encode() + spot.key
        if spot.type == b"hash":
            field = garbage if spot.field is None else spot.field
            await self._other.call("HSET", key, field, garbage)
        elif spot.type == b"set":
            await self._other.call("SADD", key, garbage)
        elif spot.type == b"zset":
            await self._other.call("ZADD", key, "-inf", garbage, "1", b"1" + garbage)
        elif spot.type == b"list":
            await self._other.call("LPUSH", key, garbage)
            await self._other.call("RPUSH", key, garbage)
        else:
            await self._other.call("SET", key, garbage)

    async def _keys(self) -> list[bytes]:
        return await self._other.call("KEYS", f"{self._tag}*")

    def concerns(self, spot: Spot) -> set[str]:
        """The jobs that may be lost where this is damaged."""
        owner = self.ids.get(spot.field or b"")
        own = {owner} if owner is not None else set[str]()
        if spot.key == b"wants" and owner == "one-0":
            own |= LIMITED  # Who holds a permit and does not say so gives none back.
        return own | (BATCH if owner in BATCH or spot.key in OF_A_BATCH else set())


@pytest.fixture
async def store(redis_url: str, redis_prefix: str) -> AsyncIterator[Store]:
    async with operator(redis_url) as other:
        store = Store(other, f"{{{redis_prefix}:0}}")
        driver = RedisDriver(redis_url, prefix=redis_prefix, clock=(clock := Clock()))
        await driver.open()
        await fill(driver, clock)
        await driver.close()
        await store.keep()
        yield store


async def course_after(url: str, prefix: str, store: Store, spot: Spot, garbage: bytes) -> Course:
    """What becomes of the store once this was damaged."""
    await store.restore()
    await store.damage(spot, garbage)
    driver = RedisDriver(url, prefix=prefix, clock=(clock := Clock()))
    await driver.open()
    course = Course(driver, clock)
    await course.run()
    await driver.close()
    return course


async def test_all_run_in_a_store_that_nobody_damaged(store, redis_url, redis_prefix) -> None:
    driver = RedisDriver(redis_url, prefix=redis_prefix, clock=(clock := Clock()))
    await driver.open()
    course = Course(driver, clock)
    await course.run()
    await driver.close()
    assert (course.done, course.wrong) == (DONE, [])


FOUND = {
    "wants": "one-1",
    "ties": "on-end",
    "state": "one-0",
    "body": "one-2",
    "progress": "failed",
    "message": "completed",
    "latches": None,
    "live": None,
    "gaps": None,
    "seq": None,
    "blocks": None,
    "aside_at:one": None,
    "ended:q:f": None,
}
"""What did stop others once, by key: the field of which job, or any."""


@pytest.mark.parametrize("key", FOUND)
async def test_what_did_harm_once_does_none(key: str, store, redis_url, redis_prefix) -> None:
    spots = [
        spot
        for spot in await store.spots()
        if spot.key == key.encode() and store.ids.get(spot.field or b"") == FOUND[key]
    ]
    assert spots
    garbage = GARBAGE["minus one" if key == "blocks" else "ones"]
    course = await course_after(redis_url, redis_prefix, store, spots[-1], garbage)
    assert course.wrong == []
    assert DONE - course.done <= store.concerns(spots[-1])


@pytest.mark.faults
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_every_spot(garbage: str, store, redis_url, redis_prefix) -> None:
    harmful: list[tuple[Spot, set[str], list[str]]] = []
    spots = await store.spots()
    for spot in spots:
        if spot.key == b"about" and spot.field is not None and garbage != "nothing":
            with pytest.raises(ConfigError, match="shards"):
                await course_after(redis_url, redis_prefix, store, spot, GARBAGE[garbage])
            continue
        course = await course_after(redis_url, redis_prefix, store, spot, GARBAGE[garbage])
        lost = DONE - course.done - store.concerns(spot)
        if lost or course.wrong:
            harmful.append((spot, lost, course.wrong[:3]))
    assert len(spots) > 150
    assert harmful == []


async def test_a_worker_goes_on_and_it_is_told_what_is_put_aside(
    redis_url: str, redis_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    tag = f"{{{redis_prefix}:0}}"
    queue = Queue(RedisDriver(redis_url, prefix=redis_prefix, clock=(clock := Clock())))
    bad = [await queue.dispatch(RedisNumber(0), queue="q") for _ in range(2)]
    (held,) = (await queue.driver.claim([Source("q")], 1, 30.0, "w0")).claims
    assert held.id == bad[0].id
    async with operator(redis_url) as other:
        numbers = await other.call("HMGET", f"{tag}:ids", *(one.id for one in bad))
        await other.call("HSET", f"{tag}:state", numbers[0], b"garbage")
        await other.call("HSET", f"{tag}:body", numbers[1], b"garbage")
        good = [await queue.dispatch(RedisNumber(n), queue="q") for n in range(3)]
        async with Worker(queue, ["q"], poll_interval=0.01):
            for handle in good:
                await handle.result(timeout=10)
        clock.advance(31)
        await queue.driver.sweep()
        assert set(await other.call("HKEYS", f"{tag}:damaged")) == set(numbers)
    await queue.close()
    await queue.driver.close()
    told = [record.getMessage() for record in caplog.records if "put aside" in record.getMessage()]
    assert [line.split()[2] for line in told] == [numbers[1].decode(), numbers[0].decode()]
