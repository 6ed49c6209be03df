"""Claims, settlements and everything that operators do, at once and on the same rows."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.record import Claim, Filter, Latch, Limited, On, Record, Source, State

from .acts import ended, record, sql

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...servers.schemas import Schema

SESSIONS = 8
ROUNDS = 3
TWO = Limited("two", 2)
THREE = Limited("three", 3)
OFTEN = Limited("often", 40, per=0.05)
WANTS = [(), (), (TWO,), (THREE,), (THREE, TWO), (OFTEN, TWO), (OFTEN,)]
ENDS = [State.COMPLETED] * 4 + [State.FAILED, State.CANCELLED, State.PENDING, State.DELAYED]
SOURCES = [Source("q"), Source("p"), Source("q", high=0)]


@pytest.fixture
async def handles(postgres_schema: Schema) -> AsyncGenerator[list[PostgresDriver]]:
    """As many processes as there are sessions, on the server's clock."""
    many = [
        PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name, pool_size=2, timeout=60)
        for _ in range(SESSIONS)
    ]
    for one in many:
        await one.open()
    yield many
    for one in many:
        await one.close()


class Load:
    """What one process does, at random, to what all have made."""

    def __init__(self, handle: PostgresDriver, n: int, ids: list[str], latches: list[str]) -> None:
        self.handle = handle
        self.n = n
        self.lots = random.Random(n)
        self.ids = ids
        self.latches = latches

    def record(self, id: str, latch: str | None = None, held: On | None = None) -> Record:
        lots = self.lots
        self.ids.append(id)
        return record(
            id,
            lots.choice("qp"),
            priority=lots.choice([0, 1]),
            delay=lots.choice([0, 0, 0, 0.01]),
            limits=lots.choice(WANTS),
            fair=lots.choice([None, None, "x", "y"]),
            latch=latch,
            held=held,
        )

    async def produce(self, k: int) -> None:
        plain = [self.record(f"{self.n}-{k}-{i}") for i in range(10)]
        await self.handle.enqueue(plain)
        latch = f"latch {self.n}-{k}"
        batch = [self.record(f"{latch} {i}", latch) for i in range(6)]
        calls = [self.record(f"{latch} {on}", latch, on) for on in On]
        await self.handle.enqueue([*batch, *calls], latches=[Latch(latch, retention=60)])
        self.latches.append(latch)

    async def work(self) -> list[Claim]:
        lots = self.lots
        lanes = lots.sample(SOURCES, 2)
        claims = (await self.handle.claim(lanes, 20, lots.choice([0.02, 30]), "w")).claims
        lots.shuffle(claims)
        after = [ended(one, lots.choice(ENDS), latch=one.latch, delay=0.01) for one in claims]
        for one in after[:2]:
            one.follow_ups = [self.record(f"after {one.id} {one.token}")]
        await self.handle.settle(after)
        return claims

    async def operate(self) -> None:
        lots, handle = self.lots, self.handle
        some = tuple(lots.sample(self.ids, 20))
        act = lots.randrange(9)
        if act == 0:
            await handle.cancel(Filter(ids=some), lots.choice([0, 60]))
        elif act == 1:
            await handle.delete(Filter(ids=some))
        elif act == 2:
            await handle.cancel(Filter(source=Source("q", high=0)), 60)
        elif act == 3:
            await handle.requeue(Filter(states=(State.FAILED,)))
        elif act == 4:
            await handle.call_off(lots.sample(self.latches, 2))
        elif act == 5:
            await handle.delete(Filter(source=Source("p", high=0), states=(State.PENDING,)))
        elif act == 6:
            await handle.acquire("two", f"hand {self.n}", 2, 0.02)
            await handle.release("two", f"hand {self.n}")
        else:
            await handle.sweep()
            await handle.prune(60)

    async def run(self) -> None:
        for k in range(ROUNDS):
            await self.produce(k)
            await self.work()
            await self.operate()
            await self.work()


async def held(place: Schema) -> dict[str, int]:
    """How many jobs with these limits are being processed at one instant."""
    rows = await sql(
        place.dsn,
        f"SELECT limits, count(*) FROM {place.name}.jobs WHERE state = 2 AND limits IS NOT NULL "
        "GROUP BY limits",
    )
    counts = {"two": 0, "three": 0}
    for limits, count in rows:
        for key in counts:
            counts[key] += count if f'"{key}"' in limits else 0
    return counts


async def deadlocks(place: Schema) -> int:
    """How many the server has resolved in this database."""
    statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return (await sql(place.dsn, statement))[0][0]


@pytest.mark.faults
@pytest.mark.case("DRV-15", "BAT-18")
async def test_nothing_deadlocks_and_nobody_is_stranded(
    handles: list[PostgresDriver], postgres_schema: Schema
) -> None:
    """Latches, permits and jobs are locked in one order, whoever does whatever."""
    ids: list[str] = []
    latches: list[str] = []
    loads = [Load(handle, n, ids, latches) for n, handle in enumerate(handles)]
    over: list[dict[str, int]] = []

    async def watch() -> None:
        while True:
            counts = await held(postgres_schema)
            if counts["two"] > 2 or counts["three"] > 3:
                over.append(counts)

    before = await deadlocks(postgres_schema)
    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*(load.run() for load in loads))
    watching.cancel()
    assert await deadlocks(postgres_schema) == before
    assert over == []
    await drain(loads[0])
    for key in ("two", "three"):
        assert await handles[0].holders(key) == []
    tallies = await handles[0].latches()
    assert [tally.id for tally in tallies if tally.pending] == []


async def drain(load: Load) -> None:
    """Everything that waits can be had by one that goes on asking."""
    waiting = Filter(states=(State.PENDING, State.DELAYED, State.PROCESSING))
    async with asyncio.timeout(60):
        while await load.handle.count(waiting):
            await load.handle.sweep()
            claimed = await load.handle.claim([Source("q"), Source("p")], 100, 0.05, "w")
            done = [ended(one, latch=one.latch) for one in claimed.claims]
            await load.handle.settle(done)
