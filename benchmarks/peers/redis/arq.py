"""arq: a sorted set, an optimistic claim per job, polling."""

from __future__ import annotations

import contextlib

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.peers import inside

SETTINGS = RedisSettings.from_dsn(inside.URL)


async def job(ctx, n: int, text: str) -> None:
    await inside.handle(n, text)


@contextlib.asynccontextmanager
async def producer():
    pool = await create_pool(SETTINGS)

    async def dispatch(n: int, text: str) -> None:
        await pool.enqueue_job("job", n, text)

    yield dispatch
    await pool.aclose()


async def fill(count: int) -> None:
    async with producer() as dispatch:
        await inside.together(dispatch, count)


async def work() -> None:
    worker = Worker(
        [func(job, keep_result=0)],
        redis_settings=SETTINGS,
        max_jobs=inside.CONCURRENCY,
        poll_delay=0.005,
        handle_signals=False,
        log_results=False,
    )
    await worker.async_run()
