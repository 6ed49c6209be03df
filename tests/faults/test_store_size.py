"""R3: what many jobs leave in a store is gone when its time is over; nothing is left of any."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
import pytest

from asyncqueue import Context, Job, Limit, Queue, Worker
from asyncqueue.queue import linker

from ..servers.redis import ask

if TYPE_CHECKING:
    from .conftest import Figure
    from .scene import Scene
    from .stores import Store

pytestmark = pytest.mark.faults

COUNT = 2_000
KEPT = 1.0
"""Seconds for which finished and failed jobs are kept."""


class SizedJob(Job, name="SizedJob", max_attempts=2, backoff=0.01, retention=KEPT):
    number: int
    fails: int = 0

    async def handle(self, ctx: Context) -> str:
        if ctx.attempt <= self.fails:
            raise ValueError("as it was told to")
        await ctx.progress(1, 2)
        return "x" * 100


class SizedUnique(SizedJob, name="SizedUnique", unique=True, unique_for=KEPT): ...


class SizedLimited(
    SizedJob,
    name="SizedLimited",
    limit=Limit("sized", concurrency=1, by=lambda job: str(job.number)),
    fair_by=lambda job: f"tenant-{job.number}",
): ...


def jobs(count: int, since: int) -> list[Job]:
    """Of every kind of trace that jobs leave, each with names of its own."""
    made: list[Job] = []
    for n in range(since, since + count):
        made += [SizedJob(n, fails=(0, 0, 0, 1, 9)[n % 5]), SizedUnique(n), SizedLimited(n)]
    return made


def rows_of_sqlite(store: Store) -> dict[str, int]:
    path = store.url.removeprefix("sqlite:///").partition("?")[0]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [name for (name,) in tables if not name.startswith("sqlite_")]
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in names
        }


async def rows_of_postgres(store: Store) -> dict[str, int]:
    address, _, schema = store.url.format(port=store.port).partition("?schema=")
    connection = await asyncpg.connect(address)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1", schema
        )
        found = {
            name: await connection.fetchval(f'SELECT count(*) FROM "{schema}"."{name}"')
            for (name,) in tables
        }
        # Whose turn it was last, in a line that was long: one row a line, however many jobs.
        turns = f"SELECT count(*) FROM \"{schema}\".jobs_meta WHERE kind = 'turn'"
        lines = await connection.fetchval(turns)
        assert lines <= 1
        return found | {"jobs_meta": found["jobs_meta"] - lines}
    finally:
        await connection.close()


SIZES = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
    local kind = redis.call('TYPE', key).ok
    local count = 1
    if kind == 'hash' then count = redis.call('HLEN', key)
    elseif kind == 'zset' then count = redis.call('ZCARD', key)
    elseif kind == 'set' then count = redis.call('SCARD', key)
    elseif kind == 'list' then count = redis.call('LLEN', key)
    elseif kind == 'stream' then count = redis.call('XLEN', key) end
    found[#found + 1] = key .. '=' .. count
end
return table.concat(found, ' ')
"""


def keys_of_redis(store: Store) -> dict[str, int]:
    script = " ".join(SIZES.split())
    answer = ask(store.port, f'EVAL "{script}" 0 {{{store.prefix}')
    found = (line.rpartition("=") for line in answer.partition("\r\n")[2].split())
    return {key: int(count) for key, _, count in found}


async def sizes(store: Store) -> dict[str, int]:
    """How much there is in each part of a store, empty ones left out."""
    if store.kind == "sqlite":
        found = await asyncio.to_thread(rows_of_sqlite, store)
    elif store.kind == "postgres":
        found = await rows_of_postgres(store)
    else:
        found = await asyncio.to_thread(keys_of_redis, store)
    return {name: count for name, count in found.items() if count}


async def cycle(queue: Queue, count: int, since: int) -> None:
    """Dispatch so many of every kind, alone and in batches and chains, and see them end."""
    await queue.dispatch_many(jobs(count, since))
    assert await (await queue.dispatch(SizedJob(-2))).result(60)
    for n in range(max(count // 50, 2)):
        members = [SizedJob(n, fails=9 * (n % 3 == 0)) for _ in range(10)]
        batch = queue.batch(*members).then(SizedJob(n)).catch(SizedJob(n))
        await batch.finally_(SizedJob(n)).allow_failures().dispatch()
        await queue.chain(SizedJob(n), SizedJob(n), SizedJob(n, fails=9 * (n % 2))).dispatch()
    cancelled = await queue.dispatch(SizedJob(-1), delay=60)
    assert await cancelled.cancel()
    async with asyncio.timeout(90):
        while any(q.pending + q.delayed + q.processing for q in (await queue.stats()).values()):
            await asyncio.sleep(0.05)


async def base_again(store: Store, base: dict[str, int], patience: float) -> dict[str, int]:
    until = time.monotonic() + patience
    while (now := await sizes(store)) != base and time.monotonic() < until:
        await asyncio.sleep(0.2)
    return now


async def greatest(store: Store, ended: asyncio.Event) -> int:
    most = 0
    while True:
        last = ended.is_set()  # What is kept after its end is there then, however fast it was.
        most = max(most, sum((await sizes(store)).values()))
        if last:
            return most
        await asyncio.sleep(0.1)


async def test_the_store_is_as_small_as_before(
    scene: Scene, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker, "SHORTEST_RETENTION", KEPT)  # Else batches are kept for longer.
    kept = {"retention": KEPT, "failed_retention": KEPT, "cleanup_interval": 0.3}
    settings = msgspec.structs.replace(scene.store.settings(), **kept)
    async with Queue(settings=settings) as queue:
        options: dict[str, Any] = {"concurrency": 50, "poll_interval": 0.02, "lease": 2.0}
        options["logger"] = logging.Logger("quiet", logging.CRITICAL)  # noqa: LOG001
        async with Worker(queue, **options):
            await cycle(queue, 20, 0)
            await asyncio.sleep(3 * KEPT)
            base = await base_again(scene.store, {}, 2.0)
            ended = asyncio.Event()
            watching = asyncio.create_task(greatest(scene.store, ended))
            await cycle(queue, COUNT // 3, 1000)
            ended.set()
            most = await watching
            after = await base_again(scene.store, base, 10.0)
    assert most > COUNT / 3
    assert after == base
    figure("entries at most", most)
    figure("entries before, and after", sum(base.values()))
