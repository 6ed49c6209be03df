"""A server of its own with two million records, of which one worker drains a few."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from asyncqueue import Queue, Settings
from benchmarks.jobs import drain, fill
from benchmarks.servers import own_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.redis import RedisServer

COUNT = 20_000
COUNT_ON_REDIS = 60_000
MANY = 1_000_000
AT_ONCE = 100_000
PREFETCH = 2000


async def postgres_with_backlog() -> float:
    """Drain rate with a million waiting and a million finished records, against an empty store."""
    with own_postgres() as server:
        url = server.url()
        shallow = await drained(f"{url}?schema=shallow", 0)
        return await drained(f"{url}?schema=deep", MANY) / shallow


async def drained(url: str, many: int) -> float:
    """Jobs per second of a worker, with ``many`` records of both kinds in the tables."""
    async with Queue(url, settings=Settings(retention=3600.0)) as queue:
        await fill(queue, 1000)
        await drain(queue, 1000)
        await fill(queue, COUNT)
        if many:
            await _multiply(url, many)
        return await drain(queue, COUNT, prefetch=PREFETCH)


async def _multiply(url: str, many: int) -> None:
    """Copy a finished and a waiting row that often, ids aside."""
    import asyncpg  # noqa: PLC0415 - who measures the other stores need not have it

    server, _, schema = url.partition("?schema=")
    connection = await asyncpg.connect(server)
    columns = await connection.fetch(
        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::text::regclass "
        "AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('seq', 'id')",
        f"{schema}.jobs",
    )
    names = [name for (name,) in columns]
    for kind, state in enumerate((3, 0)):
        for start in range(0, many, AT_ONCE):
            await connection.execute(
                f"INSERT INTO {schema}.jobs (id, {', '.join(names)}) "
                # In order of creation, as generated ids are.
                f"SELECT '0190000{kind}-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), "
                f"{', '.join(f'j.{name}' for name in names)} "
                f"FROM generate_series({start + 1}, {min(start + AT_ONCE, many)}) AS n, "
                f"(SELECT * FROM {schema}.jobs WHERE state = {state} LIMIT 1) AS j"
            )
    # What the server would do by itself a minute later.
    await connection.execute(f"VACUUM (ANALYZE) {schema}.jobs")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def redis_with_backlog(many: int = MANY) -> float:
    """As :func:`postgres_with_backlog`, with ``many`` records of both kinds."""
    with _redis() as server:
        shallow = await _drained_on_redis(server.url, "shallow", 0)
        return await _drained_on_redis(server.url, "deep", many) / shallow


async def _drained_on_redis(url: str, prefix: str, many: int) -> float:
    """Jobs per second; the backlog is dispatched, and the finished jobs were run."""
    async with Queue(url, settings=Settings(prefix=prefix, retention=3600.0)) as queue:
        for count in (1000, many):
            await fill(queue, count)
            if count:
                await drain(queue, count, prefetch=PREFETCH)
        await fill(queue, COUNT_ON_REDIS + many)
        return await drain(queue, COUNT_ON_REDIS, prefetch=PREFETCH)


@contextlib.contextmanager
def _redis() -> Iterator[RedisServer]:
    from tests.servers.redis import start_redis  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="asyncqueue-bench-") as folder:
        server = start_redis(Path(folder), "--appendonly", "no")
        try:
            yield server
        finally:
            server.kill()
