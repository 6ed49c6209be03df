"""pgqueuer: a batch per claim, a buffered settlement, a log table."""

from __future__ import annotations

import contextlib
import json

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

from benchmarks.peers import inside


async def prepare() -> None:
    connection = await asyncpg.connect(inside.URL)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


def encoded(n: int, text: str) -> bytes:
    return json.dumps({"n": n, "text": text}).encode()


@contextlib.asynccontextmanager
async def producer():
    callers = 20 if inside.FIGURE == "concurrent" else 1
    async with asyncpg.create_pool(inside.URL, min_size=callers, max_size=callers) as pool:
        # One caller is faster without the pool, which resets a connection after each use.
        driver = AsyncpgPoolDriver(pool) if callers > 1 else AsyncpgDriver(await pool.acquire())
        queries = Queries(driver)

        async def dispatch(n: int, text: str) -> None:
            await queries.enqueue("job", encoded(n, text))

        yield dispatch
        pool.terminate()


async def fill(count: int) -> None:
    connection = await asyncpg.connect(inside.URL)
    queries = Queries(AsyncpgDriver(connection))
    for chunk in inside.chunks(count):
        payloads = [encoded(n, inside.TEXT) for n in chunk]
        await queries.enqueue(["job"] * len(chunk), payloads, [0] * len(chunk))
    await connection.close()


async def work() -> None:
    app = PgQueuer.from_asyncpg_connection(await asyncpg.connect(inside.URL))

    @app.entrypoint("job")
    async def job(claimed) -> None:
        payload = json.loads(claimed.payload)
        await inside.handle(payload["n"], payload["text"])

    if inside.FIGURE == "noop":
        await app.run(batch_size=1000)  # What it holds is then not bounded, as by default.
    else:
        width = inside.CONCURRENCY
        await app.run(batch_size=width // 2, max_concurrent_tasks=width)
