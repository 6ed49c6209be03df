"""Each figure of the table: a coroutine function that takes one sample."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from asyncqueue import Queue, Worker
from asyncqueue.worker.memory import resident_mib
from benchmarks.backlog import postgres_with_backlog, redis_with_backlog
from benchmarks.jobs import FiveMilliseconds, Noop, Stamp, drain, fill, queue_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

JOBS = {"memory": 60_000, "sqlite": 30_000}


class Figure(NamedTuple):
    """A line of the table. ``target`` is a bound from below, or from above if ``at_most``."""

    label: str
    unit: str
    target: float
    sample: Callable[[], Awaitable[float]]
    at_most: bool = False
    samples: int = 5


async def drained(driver: str, *, prefetch: int = 0, retention: float = 3600.0) -> float:
    async with queue_on(driver, retention) as queue:
        await fill(queue, JOBS[driver])
        return await drain(queue, JOBS[driver], prefetch=prefetch)


async def five_milliseconds(driver: str, *, prefetch: int = 0) -> float:
    async with queue_on(driver) as queue:
        await fill(queue, 20_000, FiveMilliseconds)
        return await drain(queue, 20_000, prefetch=prefetch)


async def awaited_dispatches() -> float:
    async with queue_on("sqlite") as queue:
        await fill(queue, 100)

        async def caller() -> None:
            for n in range(200):
                await queue.dispatch(Noop(n))

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(100)))
        return 20_000 / (time.perf_counter() - began)


async def dispatch_many() -> float:
    async with queue_on("sqlite") as queue:
        await fill(queue, 100)
        began = time.perf_counter()
        await fill(queue, 20_000)
        return 20_000 / (time.perf_counter() - began)


async def same_process_latency(driver: str) -> float:
    """p99 in ms from calling dispatch to the start of the handler, queue and worker idle."""
    async with queue_on(driver) as queue, Worker(queue):
        return await _p99(queue, 300)


async def other_process_latency() -> float:
    """As above, the worker in another process on the same file."""
    async with queue_on("sqlite") as queue:
        path = queue.driver.path
        program = "import benchmarks.figures as f, sys; f.serve(sys.argv[1])"
        worker = subprocess.Popen([sys.executable, "-c", program, str(path)])
        try:
            await (await queue.dispatch(Stamp())).result(timeout=20)
            return await _p99(queue, 300)
        finally:
            worker.terminate()
            worker.wait()


def serve(path: str) -> None:
    """The other process: a worker until it is terminated."""

    async def work() -> None:
        async with Queue(f"sqlite:///{path}") as queue:
            await Worker(queue).run()

    asyncio.run(work())


async def _p99(queue: Queue, rounds: int) -> float:
    taken: list[float] = []
    for _ in range(rounds):
        began = time.monotonic()
        handle = await queue.dispatch(Stamp())
        started = await handle.result(timeout=10)
        taken.append((started - began) * 1000)
        await asyncio.sleep(0.005)  # Both sides are idle again before the next one.
    return statistics.quantiles(taken, n=100)[98]


async def with_backlog() -> float:
    """Drain rate with a million waiting and a million finished records, against an empty store."""
    count = 20_000
    async with queue_on("sqlite") as queue:
        await fill(queue, count)
        empty = await drain(queue, count)
    async with queue_on("sqlite") as queue:
        await fill(queue, 1_000)
        await drain(queue, 1_000)
        await queue.dispatch(Noop())
        _multiply(str(queue.driver.path))
        full = await drain(queue, count)
    return full / empty


def _multiply(path: str) -> None:
    """Copy the finished and the waiting row a million times each, ids aside."""
    connection = sqlite3.connect(path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
    copied = [name for name in columns if name not in ("seq", "id")]
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
    for finished in (1, 0):
        connection.execute(
            f"{numbers} INSERT INTO jobs (id, {', '.join(copied)}) "
            # In order of creation, as generated ids are.
            f"SELECT printf('0190000{finished}-0000-7000-8000-%012x', n.i), "
            f"{', '.join(f'j.{c}' for c in copied)} "
            f"FROM n, (SELECT * FROM jobs WHERE (finished_at IS NOT NULL) = {finished} "
            "LIMIT 1) AS j"
        )
        connection.commit()
    # One enormous transaction left all of it in the write-ahead log, which no real backlog does.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def growth() -> float:
    """MiB that a worker's process grows between its 10,000th and its 1,000,000th job."""
    async with queue_on("sqlite", retention=0.0) as queue:
        await fill(queue, 10_000)
        await drain(queue, 10_000, prefetch=500)
        before = resident_mib()
        for _ in range(99):
            await fill(queue, 10_000)
            await drain(queue, 10_000, prefetch=500)
        return resident_mib() - before


FIGURES: dict[str, Figure] = {
    "drain-memory": Figure(
        "memory: jobs drained at concurrency 100", "/s", 50_000, lambda: drained("memory")
    ),
    "drain-memory-0": Figure(
        "… with retention=0", "/s", 50_000, lambda: drained("memory", retention=0.0)
    ),
    "drain-sqlite": Figure(
        "sqlite: jobs drained at concurrency 100", "/s", 15_000, lambda: drained("sqlite")
    ),
    "drain-sqlite-0": Figure(
        "… with retention=0", "/s", 15_000, lambda: drained("sqlite", retention=0.0)
    ),
    "drain-sqlite-prefetch": Figure(
        "… with prefetch=1000", "/s", 25_000, lambda: drained("sqlite", prefetch=1000)
    ),
    "drain-sqlite-prefetch-0": Figure(
        "… with prefetch=1000, retention=0",
        "/s",
        25_000,
        lambda: drained("sqlite", prefetch=1000, retention=0.0),
    ),
    "dispatch": Figure(
        "sqlite: awaited dispatches, 100 concurrent callers", "/s", 20_000, awaited_dispatches
    ),
    "dispatch-many": Figure("sqlite: jobs by dispatch_many of 1,000", "/s", 60_000, dispatch_many),
    "five-ms": Figure(
        "memory: 5 ms handlers at concurrency 100 (ceiling 20,000/s)",
        "/s",
        18_000,
        lambda: five_milliseconds("memory"),
    ),
    "five-ms-sqlite": Figure(
        "sqlite: the same, prefetch=100",
        "/s",
        18_000,
        lambda: five_milliseconds("sqlite", prefetch=100),
    ),
    "latency-same": Figure(
        "sqlite: idle dispatch to start, same process, p99",
        "ms",
        2,
        lambda: same_process_latency("sqlite"),
        at_most=True,
    ),
    "latency-other": Figure(
        "sqlite: idle dispatch to start, other process, p99",
        "ms",
        15,
        other_process_latency,
        at_most=True,
    ),
    "backlog": Figure(
        "sqlite: drain rate over 2,000,000 records / empty",
        "×",
        0.9,
        with_backlog,
        samples=3,
    ),
    "backlog-postgres": Figure(
        "postgres: the same, prefetch=2000",
        "×",
        0.9,
        postgres_with_backlog,
        samples=3,
    ),
    "backlog-redis": Figure(
        "redis: the same, prefetch=2000",
        "×",
        0.9,
        redis_with_backlog,
        samples=3,
    ),
    "growth": Figure(
        "worker memory, 1,000,000 jobs against 10,000",
        "MiB",
        5,
        growth,
        at_most=True,
        samples=1,
    ),
}
