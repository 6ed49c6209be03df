"""taskiq over redis: a list, popped and forgotten, or a stream with acknowledgement."""

from __future__ import annotations

import contextlib
import os
import sys

from taskiq_redis import ListQueueBroker, RedisStreamBroker

from benchmarks.peers import inside

kind = RedisStreamBroker if inside.OPTIONS["broker"] == "stream" else ListQueueBroker
broker = kind(inside.URL)


@broker.task(task_name="job")
async def job(n: int, text: str) -> None:
    await inside.handle(n, text)


@contextlib.asynccontextmanager
async def producer():
    await broker.startup()
    yield job.kiq
    await broker.shutdown()


async def fill(count: int) -> None:
    async with producer() as dispatch:
        await inside.together(dispatch, count)


def work() -> None:
    command = [sys.executable, "-m", "taskiq", "worker", f"{__name__}:broker"]
    command += ["--workers", "1", "--no-parse", "--log-level", "ERROR"]
    command += ["--max-async-tasks", str(inside.CONCURRENCY)]
    command += ["--max-prefetch", str(inside.CONCURRENCY)]
    os.execv(command[0], command)
