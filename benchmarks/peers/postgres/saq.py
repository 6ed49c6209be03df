"""saq on postgres: one claim for all waiting coroutines; each step writes the whole job."""

from __future__ import annotations

import contextlib

from saq import Queue, Worker

from benchmarks.peers import inside


async def job(ctx, *, n: int, text: str) -> None:
    await inside.handle(n, text)


@contextlib.asynccontextmanager
async def connected():
    jobs = Queue.from_url(inside.URL, min_size=4, max_size=20)
    await jobs.connect()
    yield jobs
    await jobs.disconnect()


async def prepare() -> None:
    async with connected():
        pass  # It makes its tables when it connects.


@contextlib.asynccontextmanager
async def producer():
    async with connected() as jobs:

        async def dispatch(n: int, text: str) -> None:
            await jobs.enqueue("job", n=n, text=text, ttl=-1)

        yield dispatch


async def fill(count: int) -> None:
    async with producer() as dispatch:
        await inside.together(dispatch, count)


async def work() -> None:
    async with connected() as jobs:
        await Worker(jobs, [job], concurrency=inside.CONCURRENCY).start()
