"""saq: a list per queue and one for what runs, a record per job."""

from __future__ import annotations

import contextlib

from saq import Queue, Worker

from benchmarks.peers import inside


async def job(ctx, *, n: int, text: str) -> None:
    await inside.handle(n, text)


def queue(operations: int) -> Queue:
    return Queue.from_url(inside.URL, max_concurrent_ops=operations)


@contextlib.asynccontextmanager
async def producer():
    jobs = queue(100)
    await jobs.connect()

    async def dispatch(n: int, text: str) -> None:
        await jobs.enqueue("job", n=n, text=text, ttl=-1)

    yield dispatch
    await jobs.disconnect()


async def fill(count: int) -> None:
    async with producer() as dispatch:
        await inside.together(dispatch, count)


async def work() -> None:
    jobs = queue(inside.CONCURRENCY)
    await jobs.connect()
    await Worker(jobs, [job], concurrency=inside.CONCURRENCY).start()
