"""The jobs that are timed, and the stores they are timed on."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asyncqueue import Context, Job, Queue, Settings, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Noop(Job):
    n: int = 0

    async def handle(self, ctx: Context) -> None:
        return None


class FiveMilliseconds(Job):
    n: int = 0

    async def handle(self, ctx: Context) -> None:
        await asyncio.sleep(0.005)


class Stamp(Job):
    """Answers when it started, in seconds of the clock that all processes share."""

    async def handle(self, ctx: Context) -> float:
        return time.monotonic()


@contextlib.asynccontextmanager
async def queue_on(driver: str, retention: float = 3600.0) -> AsyncIterator[Queue]:
    """An empty queue on this driver."""
    with tempfile.TemporaryDirectory(prefix="asyncqueue-bench-") as folder:
        url = "memory://" if driver == "memory" else f"sqlite:///{Path(folder) / 'queue.db'}"
        async with Queue(url, settings=Settings(retention=retention)) as queue:
            yield queue


async def fill(queue: Queue, count: int, kind: type[Job] = Noop) -> None:
    """Dispatch that many jobs."""
    for start in range(0, count, 1000):
        await queue.dispatch_many([kind() for _ in range(min(1000, count - start))])


async def drain(queue: Queue, count: int, *, concurrency: int = 100, prefetch: int = 0) -> float:
    """Run that many waiting jobs with one worker; answers jobs per second."""
    worker = Worker(queue, concurrency=concurrency, prefetch=prefetch, max_jobs=count)
    began = time.perf_counter()
    await worker.run()
    return count / (time.perf_counter() - began)
