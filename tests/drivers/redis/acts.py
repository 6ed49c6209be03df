"""Short words for what these tests do to servers and drivers."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.redis.connecting import Router
from asyncqueue.drivers.redis.link import Link
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.record import Record, Settlement, Source, State
from tests.servers.redis import ask
from tests.servers.redis_groups import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.record import Claim
    from tests.servers.redis import RedisServer

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


def replicated(primary: RedisServer) -> None:
    """Return when its replica has all that it has now: replication is asynchronous, and not ours.

    WAIT would tell nothing: it waits for what came over the same connection.
    """
    told = ask(primary.port, "INFO replication")
    has = int(re.findall(r"master_repl_offset:(\d+)", told)[0])
    (replica,) = map(int, re.findall(r"slave\d+:ip=[^,]*,port=(\d+)", told))
    until(lambda: _received(replica) >= has, "the replica has it")


def _received(port: int) -> int:
    told = re.findall(r"slave_repl_offset:(\d+)", ask(port, "INFO replication"))
    return int(told[0]) if told else 0
