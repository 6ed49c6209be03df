"""Writing jobs: payloads, results, functions, services, middleware, uniqueness, priorities."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from asyncqueue import Context, Job, JobFailedError, Priority, Queue, Worker, job

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable


class SendWelcome(Job, queue="emails", max_attempts=5, timeout=45, backoff=[1, 5, 30]):
    user_id: int
    name: str = ""

    async def handle(self, ctx: Context) -> None:
        ctx.logger.info("Greeting user %d", self.user_id)


class CountWords(Job):
    text: str

    async def handle(self, ctx: Context) -> int:
        return len(self.text.split())


class Shrink(Job, timeout=60):
    path: str

    def handle(self, ctx: Context) -> str:
        time.sleep(0.05)  # it runs in a thread, so blocking is fine
        return f"{self.path}.small"


@job(queue="sums")
async def add(ctx: Context, a: int, b: int = 1) -> int:
    return a + b


class Import(Job, timeout=600):
    rows: list[dict[str, str]]

    async def handle(self, ctx: Context) -> None:
        for number, row in enumerate(self.rows, start=1):
            await store(row)
            await ctx.progress(number, len(self.rows), f"row {number}")


async def store(row: dict[str, str]) -> None:
    """Stand-in for real work."""


class Mailer:
    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.sent: list[str] = []

    async def send(self, to: str) -> None:
        self.sent.append(to)


@asynccontextmanager
async def mailer() -> AsyncGenerator[Mailer]:
    yield Mailer("shop@example.org")  # entered once for each worker, left when it ends


class Remind(Job):
    address: str

    async def handle(self, ctx: Context, mailer: Mailer) -> str:
        await mailer.send(self.address)
        return mailer.sender


async def timed(ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
    started = time.perf_counter()
    try:
        return await call_next()
    finally:
        ctx.logger.info("%s took %.3f s", ctx.job_name, time.perf_counter() - started)


class Report(Job, unique=True, unique_for=3600):
    month: str

    async def handle(self, ctx: Context) -> None: ...


class Sync(Job, unique=lambda job: str(job.account), unique_until="processing"):
    account: int
    reason: str

    async def handle(self, ctx: Context) -> None: ...


async def main() -> None:
    queue = Queue("memory://", services=[mailer], middleware=[timed])
    worker = Worker(queue, ["emails", "sums", "default"], concurrency=20)
    async with queue, worker:
        await queue.dispatch(SendWelcome(user_id=1, name="Ada"))

        handle = await queue.dispatch(CountWords("one two three"))
        words = await handle.result(timeout=5)
        print(words)

        print(await (await queue.dispatch(Shrink("photo.jpg"))).result(timeout=5))
        print(await (await queue.dispatch(add(a=1, b=2))).result(timeout=5))
        print(await (await queue.dispatch(Remind("a@example.org"))).result(timeout=5))

        first = await queue.dispatch(Report("2026-01"), delay=60)
        second = await queue.dispatch(Report("2026-01"))
        print(second.duplicate, second.id == first.id)

        await queue.dispatch(Sync(1, "because"), priority=Priority.HIGH)
        await queue.dispatch(Sync(2, "later"), delay=timedelta(minutes=5))
        await queue.dispatch(Sync(3, "then"), at=datetime.now(UTC) + timedelta(hours=1))

        handles = await queue.dispatch_many([CountWords("a"), CountWords("b c")])
        print([await handle.result(timeout=5) for handle in handles])

        running = await queue.dispatch(Import([{"id": "1"}, {"id": "2"}]))
        await running.result(timeout=5)
        info = await queue.status(running.id)
        print(info.state, info.progress, info.message)

        try:
            await (await queue.dispatch(Broken(), max_attempts=1)).result(timeout=5)
        except JobFailedError as error:
            print(type(error).__name__)


class Broken(Job):
    async def handle(self, ctx: Context) -> None:
        raise RuntimeError("out of order")


if __name__ == "__main__":
    asyncio.run(main())
