"""Limits over all workers, and turns between tenants."""

from __future__ import annotations

import asyncio
from collections import Counter

from asyncqueue import Context, Job, Limit, Queue, Worker

running: Counter[str] = Counter()
most: Counter[str] = Counter()


class Charge(Job, limit=Limit("stripe", concurrency=2)):
    order: int

    async def handle(self, ctx: Context) -> None:
        await work("charges")


class Fetch(Job, queue="fetch", limit=Limit("api", rate=3, per=60)):
    page: int

    async def handle(self, ctx: Context) -> None: ...


class Render(Job, limit=Limit("renders", concurrency=1, by=lambda job: job.tenant)):
    tenant: str

    async def handle(self, ctx: Context) -> None:
        await work(f"renders of {self.tenant}")


class Export(Job, queue="exports", fair_by="tenant"):
    tenant: str

    async def handle(self, ctx: Context) -> None:
        print("export for", self.tenant)


async def work(what: str) -> None:
    """Do something that takes a moment, and count how many do it at the same time."""
    running[what] += 1
    most[what] = max(most[what], running[what])
    await asyncio.sleep(0.02)
    running[what] -= 1


async def main() -> None:
    async with Queue("memory://") as queue:
        await queue.dispatch_many([Charge(number) for number in range(6)])
        await queue.dispatch_many([Render(tenant) for tenant in "aaabbb"])
        await Worker(queue, concurrency=20, stop_when_empty=True).run()
        print(dict(most))

        await queue.dispatch_many([Export(tenant) for tenant in ["acme"] * 3 + ["tiny"]])
        await Worker(queue, ["exports"], concurrency=1, stop_when_empty=True).run()

        handles = await queue.dispatch_many([Fetch(page) for page in range(5)])
        async with Worker(queue, ["fetch"]):
            await handles[2].result(timeout=5)
            print(await queue.size("fetch"), "wait")
            print((await queue.explain(handles[3].id)).text)


if __name__ == "__main__":
    asyncio.run(main())
