"""Short words for what these tests do again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from asyncqueue.record import Claim, Filter, Record, Settlement, Source, State

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver

LEASE = 30.0
EVERYTHING = Filter()


def record(id: str, queue: str = "q", **fields: Any) -> Record:
    return Record(**({"id": id, "queue": queue, "name": "kind", "payload": b"payload"} | fields))


async def claim(driver: Driver, limit: int = 100, *, queue: str = "q") -> list[Claim]:
    return (await driver.claim([Source(queue)], limit, LEASE, "w")).claims


def ended(claim: Claim, state: State = State.COMPLETED, **fields: Any) -> Settlement:
    fields = {"attempts": claim.attempts, "retention": 60.0} | fields
    return Settlement(id=claim.id, token=claim.token, state=state, **fields)


async def states(driver: Driver) -> dict[str, State]:
    return {job.id: job.state for job in (await driver.find(EVERYTHING, limit=1000)).items}


async def sql(dsn: str, statement: str, *parameters: object) -> list[asyncpg.Record]:
    """What a stranger does to the database."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement, *parameters)
    finally:
        await connection.close()
