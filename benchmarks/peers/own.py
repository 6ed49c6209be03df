"""This project's own library, through its public interface: the adapter for every store."""

from __future__ import annotations

import contextlib
import gc

from asyncqueue import Context, Job, Queue, Settings, Worker
from benchmarks.peers import inside


class Measured(Job):
    n: int
    text: str

    async def handle(self, ctx: Context) -> None:
        await inside.handle(self.n, self.text)


def opened() -> Queue:
    return Queue(inside.URL, settings=Settings(retention=0.0))


async def prepare() -> None:
    async with opened() as queue:
        await queue.ping()


@contextlib.asynccontextmanager
async def producer():
    async with opened() as queue:

        async def dispatch(n: int, text: str) -> None:
            await queue.dispatch(Measured(n, text))

        yield dispatch


async def fill(count: int) -> None:
    async with opened() as queue:
        for chunk in inside.chunks(count):
            await queue.dispatch_many([Measured(n, inside.TEXT) for n in chunk])


async def work() -> None:
    # As `python -m asyncqueue.worker` does.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    prefetch = inside.OPTIONS["prefetch"].get(inside.FIGURE, 0)
    async with opened() as queue:
        await Worker(queue, concurrency=inside.CONCURRENCY, prefetch=prefetch).run()
