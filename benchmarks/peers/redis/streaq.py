"""streaq: a stream per priority, settled with a pipeline per job."""

from __future__ import annotations

import contextlib

import coredis
from streaq import Worker

from benchmarks.peers import inside

coredis.Config.optimized = True
worker = Worker(redis_url=inside.URL, concurrency=inside.CONCURRENCY, handle_signals=False)


@worker.task(silent=True, ttl=0)
async def job(n: int, text: str) -> None:
    await inside.handle(n, text)


@contextlib.asynccontextmanager
async def producer():
    async with worker:

        async def dispatch(n: int, text: str) -> None:
            await job.enqueue(n, text)

        yield dispatch


async def fill(count: int) -> None:
    async with worker:
        for chunk in inside.chunks(count):
            await worker.enqueue_many([job.enqueue(n, inside.TEXT) for n in chunk])


async def work() -> None:
    await worker.run_async()
