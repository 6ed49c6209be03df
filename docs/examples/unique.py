"""Unique jobs, and dispatching the same thing twice."""

from __future__ import annotations

import asyncio

from asyncqueue import Context, Job, Queue
from asyncqueue.testing import Clock, drain


class Report(Job, unique=True, unique_for=3600):
    month: str

    async def handle(self, ctx: Context) -> None:
        print("report of", self.month)


class Reindex(Job, unique=lambda job: job.table, unique_until="processing"):
    table: str
    reason: str

    async def handle(self, ctx: Context) -> None:
        print("reindex", self.table, "because of", self.reason)


class Capture(Job):
    order: int

    async def handle(self, ctx: Context) -> None:
        print("capture", self.order)


async def main() -> None:
    clock = Clock()
    async with Queue("memory://", clock=clock) as queue:
        first = await queue.dispatch(Report("2026-01"))
        second = await queue.dispatch(Report("2026-01"))
        other = await queue.dispatch(Report("2026-02"))
        print(second.duplicate, second.id == first.id, other.duplicate)
        await drain(queue)
        print((await queue.dispatch(Report("2026-01"))).duplicate)

        await queue.dispatch(Reindex("books", "a price"))
        again = await queue.dispatch(Reindex("books", "a title"))
        print(again.duplicate)
        await drain(queue)

        for _ in range(2):  # say, because the browser sent the form twice
            handle = await queue.dispatch(Capture(7), id="capture-7")
            print(handle.id, handle.duplicate)
        await drain(queue)
        print((await queue.dispatch(Capture(7), id="capture-7")).duplicate)

        print((await queue.explain(handle.id)).text)


if __name__ == "__main__":
    asyncio.run(main())
