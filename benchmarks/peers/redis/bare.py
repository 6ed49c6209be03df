"""No library: a bare redis-py client pushes to a list, and others pop from it."""

from __future__ import annotations

import asyncio
import contextlib
import json

from redis.asyncio import Redis

from benchmarks.peers import inside

LIST = "jobs"


@contextlib.asynccontextmanager
async def producer():
    async with Redis.from_url(inside.URL) as client:

        async def dispatch(n: int, text: str) -> None:
            await client.lpush(LIST, json.dumps([n, text]))

        yield dispatch


async def fill(count: int) -> None:
    async with producer() as dispatch:
        await inside.together(dispatch, count)


async def work() -> None:
    async with Redis.from_url(inside.URL) as client:

        async def serve() -> None:
            while True:
                _, job = await client.brpop(LIST)
                await inside.handle(*json.loads(job))

        await asyncio.gather(*(serve() for _ in range(inside.CONCURRENCY)))
