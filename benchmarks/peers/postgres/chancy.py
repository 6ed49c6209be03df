"""chancy: a batch per claim; finished jobs are written once a second."""

from __future__ import annotations

import contextlib
import logging

from chancy import Chancy, Job, Queue, Worker

from benchmarks.peers import inside

logging.disable(logging.WARNING)


async def job(*, n: int, text: str) -> None:
    await inside.handle(n, text)


def opened() -> Chancy:
    return Chancy(inside.URL, max_connection_pool_size=20)


async def prepare() -> None:
    async with opened() as chancy:
        await chancy.migrate()
        queue = Queue(
            "default",
            concurrency=inside.CONCURRENCY,
            executor="chancy.executors.asyncex.AsyncExecutor",
            polling_interval=1,
            eager_polling=True,
        )
        await chancy.declare(queue, upsert=True)


def made(n: int, text: str) -> Job:
    return Job.from_func(job, kwargs={"n": n, "text": text})


@contextlib.asynccontextmanager
async def producer():
    async with opened() as chancy:

        async def dispatch(n: int, text: str) -> None:
            await chancy.push(made(n, text))

        yield dispatch


async def fill(count: int) -> None:
    async with opened() as chancy:
        jobs = [made(n, inside.TEXT) for n in range(count)]
        async for _ in chancy.push_many(jobs):
            pass


async def work() -> None:
    async with opened() as chancy, Worker(chancy) as worker:
        await worker.wait_for_shutdown()
