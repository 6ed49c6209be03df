"""Jobs that belong together: a batch with a report at its end, and a chain."""

from __future__ import annotations

import asyncio

from asyncqueue import BatchInfo, Context, Job, Queue, Worker, register_callback

queue = Queue("sqlite:///queue.db")


class LoadPage(Job, queue="import", max_attempts=5):
    number: int

    async def handle(self, ctx: Context) -> None:
        print("page", self.number)
        if self.number == 1:
            await ctx.add_to_batch(LoadPage(3), LoadPage(4))


class Report(Job, queue="reports"):
    async def handle(self, ctx: Context) -> None:
        batch = await ctx.batch()
        print(f"{batch.name}: {batch.completed} of {batch.total} loaded")


async def tell(batch: BatchInfo, error: BaseException) -> None:
    print("one of", batch.name, "failed:", error)


register_callback("tell", tell)


async def load_everything() -> str:
    batch = queue.batch(LoadPage(1), LoadPage(2)).named("pages")
    info = await batch.then(Report()).catch("tell").dispatch()
    return info.id


class Resize(Job):
    async def handle(self, ctx: Context) -> None:
        print("resize")
        ctx.chain_prepend(Sharpen())


class Sharpen(Job):
    async def handle(self, ctx: Context) -> None:
        print("sharpen")


class Publish(Job, queue="public"):
    async def handle(self, ctx: Context) -> None:
        print("publish")
        raise ConnectionError("nobody there")

    def should_retry(self, error: Exception) -> bool:
        return False


async def give_up(error: BaseException) -> None:
    print("given up:", error)


register_callback("give up", give_up)


async def upload() -> None:
    await queue.chain(Resize(), Publish()).catch("give up").dispatch()


async def show(batch_id: str) -> None:
    batch = await queue.find_batch(batch_id)
    if batch is not None:
        print(f"{batch.progress:g} %, {batch.pending} pending, {batch.failed} failed")


async def main() -> None:
    async with queue:
        batch_id = await load_everything()
        await upload()
        queues = ["import", "reports", "default", "public"]
        await Worker(queue, queues, concurrency=1, stop_when_empty=True).run()
        await show(batch_id)


if __name__ == "__main__":
    asyncio.run(main())
