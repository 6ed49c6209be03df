"""Retries: how often, how long between, and what a handler may decide itself."""

from __future__ import annotations

import asyncio
import contextlib

from asyncqueue import (
    Context,
    Fail,
    Job,
    JobFailedError,
    Queue,
    Retry,
    Snooze,
    Worker,
    exponential,
    linear,
)


class TooManyRequestsError(Exception):
    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after


class CardDeclinedError(Exception): ...


class Charge(Job, max_attempts=5, backoff=exponential(0.05, cap=60, jitter=True)):
    order: int

    async def handle(self, ctx: Context) -> str:
        return await charge(self.order, ctx.attempt)

    def should_retry(self, error: Exception) -> bool:
        return not isinstance(error, CardDeclinedError)

    async def failed(self, ctx: Context, error: BaseException) -> None:
        print(f"order {self.order} failed after attempt {ctx.attempt}: {error!r}")


async def charge(order: int, attempt: int) -> str:
    if order == 2:
        raise CardDeclinedError
    if attempt < 3:
        raise ConnectionError("no answer")
    return f"order {order} paid on attempt {attempt}"


class Fetch(Job, max_attempts=4, backoff=linear(1)):
    url: str
    tries: int = 0

    async def handle(self, ctx: Context) -> str:
        try:
            return await fetch(self.url, ctx)
        except TooManyRequestsError as error:
            raise Snooze(error.retry_after) from error  # later, and this run does not count
        except TimeoutError as error:
            raise Retry(delay=0.05) from error  # soon, and this run counts
        except ValueError as error:
            raise Fail(error) from error  # never again


calls: list[str] = []


async def fetch(url: str, ctx: Context) -> str:
    calls.append(url)
    if url == "/gone":
        raise ValueError("410 Gone")
    if len(calls) == 1:
        raise TooManyRequestsError(0.05)
    if len(calls) == 2:
        raise TimeoutError
    return f"fetched on attempt {ctx.attempt} of {ctx.max_attempts}, after {len(calls)} calls"


class Sync(Job, retry_until=3600, max_exceptions=10, backoff=[1, 5, 30]):
    async def handle(self, ctx: Context) -> None: ...


def wait(job: Poll, attempt: int, error: Exception) -> float:
    return 60.0 if isinstance(error, TimeoutError) else 1.0


class Poll(Job, backoff=wait):
    async def handle(self, ctx: Context) -> None: ...


class Export(Job, timeout=1800, fail_on_timeout=True):
    async def handle(self, ctx: Context) -> None: ...


async def main() -> None:
    queue = Queue("memory://")
    async with queue, Worker(queue, poll_interval=0.02):
        print(await (await queue.dispatch(Charge(1))).result(timeout=5))
        declined = await queue.dispatch(Charge(2))
        with contextlib.suppress(JobFailedError):
            await declined.result(timeout=5)
        print(await (await queue.dispatch(Fetch("/feed"))).result(timeout=5))
        gone = await queue.dispatch(Fetch("/gone"))
        try:
            await gone.result(timeout=5)
        except JobFailedError as error:
            print(error)
        await look_after(queue, declined.id)


async def look_after(queue: Queue, job_id: str) -> None:
    page = await queue.failed.list(limit=20)
    print(page.total, [failed.name for failed in page.items])

    failed = await queue.failed.get(job_id)
    print(failed.queue, failed.payload, failed.attempts, failed.error)

    await queue.failed.retry(job_id)  # back on its queue, with fresh attempts
    await queue.failed.retry_all(name="Fetch")  # all of one kind
    await queue.failed.prune(7 * 86400)  # those that failed more than a week ago
    await queue.failed.flush()  # all of them


if __name__ == "__main__":
    asyncio.run(main())
