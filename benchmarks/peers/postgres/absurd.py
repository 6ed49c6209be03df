"""absurd: durable tasks in stored procedures, polled; a batch ends before the next is claimed."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
from absurd_sdk import AsyncAbsurd
from absurdctl import BUNDLED_SCHEMA_SQL

from benchmarks.peers import inside

QUEUE = "jobs"
CONNECTIONS = 20
"""A client has one connection, which takes calls in turn: concurrent callers are given several."""


async def prepare() -> None:
    async with await psycopg.AsyncConnection.connect(inside.URL, autocommit=True) as connection:
        await connection.execute(BUNDLED_SCHEMA_SQL)
    client = AsyncAbsurd(inside.URL, queue_name=QUEUE)
    await client.create_queue()
    await client.close()


@contextlib.asynccontextmanager
async def producer():
    count = CONNECTIONS if inside.FIGURE == "concurrent" else 1
    clients: asyncio.LifoQueue[AsyncAbsurd] = asyncio.LifoQueue()
    for _ in range(count):
        clients.put_nowait(AsyncAbsurd(inside.URL, queue_name=QUEUE))

    async def dispatch(n: int, text: str) -> None:
        client = await clients.get()
        try:
            await client.spawn("job", {"n": n, "text": text}, queue=QUEUE)
        finally:
            clients.put_nowait(client)

    yield dispatch
    while not clients.empty():
        await clients.get_nowait().close()


async def fill(count: int) -> None:
    async with producer() as dispatch:
        await inside.together(dispatch, count)


async def work() -> None:
    app = AsyncAbsurd(inside.URL, queue_name=QUEUE)

    @app.register_task("job")
    async def job(params, context) -> None:
        await inside.handle(params["n"], params["text"])

    await app.start_worker(concurrency=inside.CONCURRENCY)
