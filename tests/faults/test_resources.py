"""Stores that are full or busy, and processes that may have little: late, but never lost."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue import Job, Queue
from asyncqueue.errors import DriverError
from asyncqueue.record import Filter

from ..servers.redis import ask
from .jobs import Heavy, Labour
from .scene import Scene
from .stores import DURABLE_REDIS, redis_store, sqlite_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .conftest import Figure

pytestmark = pytest.mark.faults


async def test_a_redis_that_is_full(own_redis, tmp_path: Path, figure: Figure) -> None:
    """R4: `noeviction`, filled to refusal while jobs run. Those it has run on and are settled."""
    server = own_redis(*DURABLE_REDIS, "--maxmemory", "12mb", "--maxmemory-policy", "noeviction")
    async with Scene(tmp_path / "scene", redis_store(server.port, "faults", server)) as scene:
        await scene.dispatch(Heavy(load=bytes(1000)) for _ in range(200))
        worker = await scene.hired("--concurrency", "2")
        refused = 0
        while refused < 5:
            refused += await full(scene, Heavy(load=bytes(200_000)))
        figure("dispatches refused", refused)
        # Nobody has made room: what runs ends, and what waits is run.
        await scene.until(lambda seen: seen.ids("acknowledged") <= seen.ids("finished"))
        await scene.settled()
        assert ask(server.port, "CONFIG SET maxmemory 64mb").startswith("+OK")
        after = await scene.dispatch([Heavy(load=bytes(1000)) for _ in range(5)])
        await scene.done(after)
        await scene.settled()
        code, _ = await scene.terminated(worker)
        report = await scene.report()
        assert code == 0
        assert report.problems() == []
        assert not report.duplicated
        figure("lost", len(report.lost))


async def full(scene: Scene, job: Job) -> bool:
    """Dispatch; whether it was refused because there is no room."""
    try:
        await scene.dispatch([job])
    except DriverError as error:
        return "memory" in str(error)
    return len(scene.reading.more()) > 0 and scene.reading.entries[-1].event == "refused"


async def test_a_redis_that_evicts_is_warned_of(own_redis, tmp_path: Path) -> None:
    """R4: `allkeys-lru` loses jobs by design, so it is said at the start."""
    server = own_redis("--maxmemory", "12mb", "--maxmemory-policy", "allkeys-lru")
    async with Scene(tmp_path / "scene", redis_store(server.port, "faults", server)) as scene:
        worker = await scene.hired()
        await scene.terminated(worker)
        assert any("allkeys-lru" in line for line in worker.err), worker.said


HOT = 200
SESSIONS = 8


async def test_everything_at_once_on_the_same_rows(scene: Scene, figure: Figure) -> None:
    """R7: claims, settlements, sweeps, cancels, requeues, prunes: no deadlock, no error to a user.

    Workers in processes of their own, and sessions that operate, for some seconds.
    """
    before = await deadlocks(scene)
    for _ in range(2):
        await scene.hired("--concurrency", "10", lease=1.0)
    queues = [Queue(settings=scene.store.settings()) for _ in range(SESSIONS)]
    for queue in queues:
        await queue.ping()
    until = time.monotonic() + 6.0
    acts: list[Callable[[Queue], Awaitable[object]]] = [
        lambda queue: scene.dispatch((Labour(seconds=0.01) for _ in range(HOT // 10)), on=queue),
        lambda queue: scene.dispatch([Labour(seconds=0.01, fails=9)], on=queue, max_attempts=1),
        lambda queue: queue.failed.retry_all(),
        lambda queue: queue.driver.sweep(),
        lambda queue: queue.driver.prune(3600.0),
        lambda queue: cancel_some(scene, queue),
        lambda queue: queue.stats(),
        lambda queue: queue.jobs(limit=50),
    ]

    async def again_and_again(queue: Queue, act: Callable[[Queue], Awaitable[object]]) -> int:
        count = 0
        while time.monotonic() < until:
            await act(queue)
            count += 1
            await asyncio.sleep(0.02)
        return count

    counts = await asyncio.gather(*map(again_and_again, queues, acts))
    await scene.settled()
    for queue in queues:
        await queue.close()
    report = await scene.report()
    # What is retried runs again by request; all else holds.
    assert not report.lost | report.unexpected | report.unfenced | report.overlapped
    assert await deadlocks(scene) == before
    assert not any("deadlock" in worker.said for worker in scene.workers)
    figure("calls", sum(counts))
    figure("deadlocks", 0)


async def cancel_some(scene: Scene, queue: Queue) -> None:
    for job in (await queue.jobs(limit=3)).items:
        await queue.cancel(job.id)


async def deadlocks(scene: Scene) -> int:
    if scene.store.kind != "postgres":
        return 0
    connection = await asyncpg.connect(scene.store.url.format(port=scene.store.port).split("?")[0])
    try:
        return await connection.fetchval("SELECT sum(deadlocks)::int FROM pg_stat_database")
    finally:
        await connection.close()


async def test_four_processes_on_one_file(tmp_path: Path, figure: Figure) -> None:
    """R9: four workers and a producer; one is killed in the middle of its commits."""
    async with Scene(tmp_path / "scene", sqlite_store(tmp_path)) as scene:
        workers = [await scene.hired("--concurrency", "5", lease=1.5) for _ in range(4)]
        slowest = 0.0
        for n in range(40):
            began = time.monotonic()
            await scene.labour(25, 0.02)
            slowest = max(slowest, time.monotonic() - began)
            if n in (10, 20, 30):
                scene.kill(workers[n // 10 - 1])
        await scene.done(1000)
        await scene.settled()
        report = await scene.report()
        assert report.problems() == []
        assert len(report.acknowledged) == 1000
        assert slowest < 5.0
        assert not any("locked" in worker.said for worker in scene.workers)
        with contextlib.closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        figure("run twice (3 kills)", len(report.duplicated))
        figure("slowest dispatch of 25 (s)", slowest)


def mount(folder: Path, megabytes: int) -> bool:
    """Put a small file system there; False where that is not allowed."""
    folder.mkdir()
    size = f"size={megabytes}m"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    return False


async def test_a_disk_that_is_full(tmp_path: Path, figure: Figure) -> None:
    """R6 and R9: SQLITE_FULL is told to whoever dispatches; with space again all goes on."""
    disk = tmp_path / "disk"
    if sys.platform != "linux" or not mount(disk, 4):
        pytest.skip("no file system can be mounted here")
    try:
        async with Scene(tmp_path / "scene", sqlite_store(disk)) as scene:
            await scene.dispatch(Heavy(load=bytes(1000)) for _ in range(100))
            worker = await scene.hired("--concurrency", "2", lease=1.5)
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            before = len(scene.reading.more()) and len(scene.reading.of("refused"))
            while len(scene.reading.of("refused")) == before:
                await scene.dispatch([Heavy(load=bytes(100_000))])
                scene.reading.more()
            await asyncio.sleep(2.0)
            ballast.unlink()
            free = time.monotonic()
            after = await scene.dispatch(Heavy() for _ in range(10))
            await scene.done(after)
            went_on = time.monotonic() - free
            await scene.until(lambda seen: seen.ids("acknowledged") <= seen.ids("finished"))
            await scene.settled()
            code, _ = await scene.terminated(worker)
            report = await scene.report()
            assert code == 0, worker.said
            assert report.problems() == []
            figure("goes on after (s)", went_on)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def test_few_file_descriptors(scene: Scene, figure: Figure) -> None:
    """R2: 64 of them, and 100 jobs at a time."""
    worker = scene.hire("--concurrency", "100")
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (64, 64))
    await scene.ready(worker)
    await scene.labour(1000, 0.01)
    await scene.done(1000)
    await scene.settled()
    code, _ = await scene.terminated(worker)
    report = await scene.report()
    assert code == 0, worker.said
    assert report.problems(faults=False) == []
    figure("jobs done", len(report.done))


async def test_a_server_that_takes_no_more_clients(own_redis, tmp_path: Path) -> None:
    """R2: workers beyond `maxclients` say so, and begin when there is room."""
    server = own_redis(*DURABLE_REDIS, "--maxclients", "8")
    async with Scene(tmp_path / "scene", redis_store(server.port, "faults", server)) as scene:
        await scene.labour(10, 0.01)
        hogs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(8)]
        worker = scene.hire()
        await asyncio.to_thread(worker.until, "Cannot reach the store")
        for _, hog in hogs:
            hog.close()
        await scene.done(10)
        code, _ = await scene.terminated(worker)
        assert code == 0


async def test_a_flood_that_comes_over_workers_who_had_nothing_to_do(
    scene: Scene, figure: Figure
) -> None:
    """B1: what a store has planned for an empty queue must do for a full one."""
    workers = [await scene.hired("--concurrency", "25", lease=4.0) for _ in range(2)]
    await scene.labour(50, 0.0)
    await scene.done(50)
    await scene.settled()
    await scene.queue.driver.delete(Filter())
    await scene.labour(1, 0.0)
    await scene.done(51)
    await scene.settled()
    await cleaned(scene)
    for n in range(52, 72):  # Everybody's plans are made now.
        await scene.labour(1, 0.0)
        await scene.done(n)
    for worker in workers:
        worker.send(signal.SIGSTOP)
    for _ in range(4):
        await scene.labour(2_500, 0.0)
    for worker in workers:
        worker.send(signal.SIGCONT)
    began = time.monotonic()
    await scene.done(10_071, 120.0)
    await scene.settled()
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [await scene.ended(worker) for worker in workers] == [0] * 2
    report = await scene.report()
    assert report.problems(faults=False) == []
    figure("drained in (s)", time.monotonic() - began)


async def cleaned(scene: Scene) -> None:
    """What a PostgreSQL does by itself every now and then."""
    if scene.store.kind == "postgres":
        connection = await asyncpg.connect(
            scene.store.url.format(port=scene.store.port).split("?")[0]
        )
        schema = scene.store.url.split("schema=")[1]
        for table in ("jobs", "failed_jobs"):
            await connection.execute(f'VACUUM ANALYZE "{schema}"."{table}"')
        await connection.close()


async def test_twenty_thousand_jobs_without_a_fault(scene: Scene, figure: Figure) -> None:
    """B1: 4 workers that sweep all the time; every job has exactly one effect."""
    count = 20_000
    ids: list[str] = []
    began = time.monotonic()
    for _ in range(4):
        ids += await scene.labour(count // 4, 0.0)
    stored = time.monotonic() - began
    workers = [await scene.hired("--concurrency", "25", lease=4.0) for _ in range(4)]
    began = time.monotonic()
    await scene.done(count, 240.0)
    await scene.settled()
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [await scene.ended(worker) for worker in workers] == [0] * 4
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert set(report.effects.values()) == {1}
    assert len(report.done) == count
    figure("dispatched in (s)", stored)
    figure("drained in (s)", time.monotonic() - began)
    figure("run twice", len(report.duplicated))
