"""Middleware of one's own, and what comes along."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from asyncqueue import (
    Context,
    FailOn,
    Job,
    Queue,
    RateLimited,
    SkipIfBatchCancelled,
    ThrottlesExceptions,
    WithoutOverlapping,
    Worker,
)
from asyncqueue.testing import Clock, drain

CallNext = Callable[[], Awaitable[Any]]
tenant: ContextVar[str] = ContextVar("tenant")


async def timed(ctx: Context, call_next: CallNext) -> Any:
    started = asyncio.get_running_loop().time()
    try:
        return await call_next()
    finally:
        seconds = asyncio.get_running_loop().time() - started
        ctx.logger.info("attempt %d took %.3f s", ctx.attempt, seconds)


async def with_tenant(ctx: Context, call_next: CallNext) -> Any:
    token = tenant.set(ctx.job.tenant)
    try:
        return await call_next()
    finally:
        tenant.reset(token)


async def unless_switched_off(ctx: Context, call_next: CallNext) -> Any:
    if ctx.job_name in ctx.get("switched_off"):
        return None  # the job is done without having run
    return await call_next()


class Invoice(Job, middleware=[with_tenant]):
    tenant: str

    async def handle(self, ctx: Context) -> None:
        print("invoice for", tenant.get())


class Newsletter(Job):
    async def handle(self, ctx: Context) -> None:
        print("never printed")


class Rebuild(Job, middleware=[WithoutOverlapping(lambda job: job.index)]):
    index: str

    async def handle(self, ctx: Context) -> None:
        print("begin", self.index)
        await asyncio.sleep(0.02)
        print("end", self.index)


class Sms(Job, middleware=[RateLimited("sms", 2, per=60)]):
    text: str

    async def handle(self, ctx: Context) -> None:
        print("sms", self.text)


class Ask(Job, max_attempts=5, backoff=1, middleware=[ThrottlesExceptions(2, per=300)]):
    question: str

    async def handle(self, ctx: Context) -> None:
        print("asked", self.question)
        raise ConnectionError("the other side is away")


class Pay(Job, max_attempts=5, middleware=[FailOn(ValueError, PermissionError)]):
    cents: int

    async def handle(self, ctx: Context) -> None:
        if self.cents <= 0:
            raise ValueError("nothing to pay")


class Thumbnail(Job, middleware=[SkipIfBatchCancelled()]):
    file: str

    async def handle(self, ctx: Context) -> None: ...


async def main() -> None:
    clock = Clock()
    queue = Queue(
        "memory://",
        clock=clock,
        services={"switched_off": {"Newsletter"}},
        middleware=[timed, unless_switched_off],
    )
    async with queue:
        await queue.dispatch(Invoice("acme"))
        await queue.dispatch(Newsletter())
        await drain(queue)

        await queue.dispatch_many([Rebuild("books"), Rebuild("books")])
        await Worker(queue, concurrency=2, stop_when_empty=True).run()
        print("a second later")  # the other one was put back for so long
        clock.advance(1)
        await drain(queue)

        await queue.dispatch_many([Sms("one"), Sms("two"), Sms("three")])
        await drain(queue)
        print("a minute later")
        clock.advance(60)
        await drain(queue)

        await queue.dispatch_many([Ask("a"), Ask("b"), Ask("c")])
        await drain(queue)
        print("five minutes later")
        clock.advance(300)
        await drain(queue)

        handle = await queue.dispatch(Pay(0))
        await drain(queue)
        info = await handle.status()
        print(info.state, "after", info.attempts, "attempt:", info.error)


if __name__ == "__main__":
    asyncio.run(main())
