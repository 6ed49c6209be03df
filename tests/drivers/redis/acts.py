"""Short words for what these tests do to servers and drivers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.redis.connecting import Router
from asyncqueue.drivers.redis.link import Link
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.record import Record, Settlement, Source, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.record import Claim

Q = Source("q")


def record(id: str, **changes: Any) -> Record:
    return Record(**({"id": id, "queue": "q", "name": "Kind", "payload": b"payload"} | changes))


def ended(claim: Claim, state: State = State.COMPLETED, **changes: Any) -> Settlement:
    return Settlement(claim.id, claim.token, state, claim.attempts, **changes)


async def claim(driver: RedisDriver, limit: int = 100, lease: float = 30) -> list[Claim]:
    return (await driver.claim([Q], limit, lease, "w1")).claims


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncGenerator[RedisDriver]:
    driver = RedisDriver(url, **options)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


@contextlib.asynccontextmanager
async def operator(url: str) -> AsyncGenerator[Link]:
    """A connection of somebody else."""
    link = Link(Router(place_of(url), [""]))
    try:
        yield link
    finally:
        await link.close()
