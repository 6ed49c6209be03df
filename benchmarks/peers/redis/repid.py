"""repid: a stream, read in batches; nothing reclaims what a dead worker held unless told to."""

from __future__ import annotations

import contextlib

from repid import RedisServer, Repid, Router

from benchmarks.peers import inside

CHANNEL = "jobs"

app = Repid()
app.servers.register_server("redis", RedisServer(inside.URL, batch_size=100), is_default=True)
router = Router()


@router.actor(channel=CHANNEL)
async def job(n: int, text: str) -> None:
    await inside.handle(n, text)


app.include_router(router)


@contextlib.asynccontextmanager
async def producer():
    async with app.servers.default.connection():

        async def dispatch(n: int, text: str) -> None:
            payload = {"n": n, "text": text}
            await app.send_message_json(channel=CHANNEL, payload=payload, headers={"topic": "job"})

        yield dispatch


async def fill(count: int) -> None:
    async with producer() as dispatch:
        await inside.together(dispatch, count)


async def work() -> None:
    async with app.servers.default.connection():
        await app.run_worker(tasks_limit=inside.CONCURRENCY)
