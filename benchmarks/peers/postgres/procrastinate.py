"""procrastinate: a function in the database per step, an event row for each."""

from __future__ import annotations

import contextlib

from procrastinate import App, PsycopgConnector

from benchmarks.peers import inside

app = App(connector=PsycopgConnector(conninfo=inside.URL, min_size=4, max_size=20))


@app.task(name="job")
async def job(n: int, text: str) -> None:
    await inside.handle(n, text)


async def prepare() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


@contextlib.asynccontextmanager
async def producer():
    async with app.open_async():

        async def dispatch(n: int, text: str) -> None:
            await job.defer_async(n=n, text=text)

        yield dispatch


async def fill(count: int) -> None:
    async with app.open_async():
        for chunk in inside.chunks(count):
            await job.batch_defer_async(*({"n": n, "text": inside.TEXT} for n in chunk))


async def work() -> None:
    async with app.open_async():
        await app.run_worker_async(
            concurrency=inside.CONCURRENCY, wait=True, install_signal_handlers=False
        )
