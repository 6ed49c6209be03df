"""Leases: renewed while the worker lives, lost when it does not, never used by two."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from asyncqueue import (
    AttemptsExhausted,
    Context,
    Job,
    JobFailed,
    JobProcessing,
    LeaseLost,
    Queue,
    Registry,
    State,
    Worker,
)
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.record import Presence, Record, Settlement, Source
from asyncqueue.worker.heartbeat import Heartbeat, blocked_bound
from asyncqueue.worker.holdings import Holdings

from ..recorder import PATIENCE, until
from .stopping import Stage, deaf, define, obedient, swallows_and_returns

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    stage.proceed.set()


async def begun(stage):
    async with asyncio.timeout(PATIENCE):
        await stage.started.wait()


# Renewal


@pytest.mark.case("TMO-14")
async def test_a_lease_is_renewed_while_the_job_runs(queue, make_worker, clock, stage, caplog):
    """Nobody else gets a job that runs for ten leases."""
    handle = await queue.dispatch(define(obedient, stage, timeout=10_000)())
    async with make_worker(lease=90), make_worker(lease=90):
        await begun(stage)
        for _ in range(10):
            clock.advance(90)
            await asyncio.sleep(0.002)
        assert len(stage.contexts) == 1
        info = await handle.status()
        assert (info.state, info.attempts) == (State.PROCESSING, 1)
    assert "come back" not in caplog.text


async def test_prefetched_jobs_keep_their_leases(queue, make_worker, clock, stage):
    job = define(obedient, stage, timeout=10_000)
    first, second = await queue.dispatch_many([job(), job()])
    async with make_worker(lease=90, concurrency=1, prefetch=1), make_worker("others", lease=90):
        await begun(stage)
        await until(lambda: True)
        while (await second.status()).state is not State.PROCESSING:
            await asyncio.sleep(0)
        for _ in range(5):
            clock.advance(90)
            await asyncio.sleep(0.002)
        for handle in (first, second):
            info = await handle.status()
            assert (info.state, info.attempts) == (State.PROCESSING, 1)


@pytest.mark.parametrize(("seconds", "apart"), [(0, 30), (6, 30), (14, 30), (20, 41)])
async def test_a_store_that_answers_late_is_asked_to_renew_in_time(clock, seconds, apart):
    """A beat is several calls: what they take is no reason to begin the next beat later."""
    driver, holdings = SlowDriver(clock, seconds), Holdings()
    await driver.enqueue([Record(id="1", name="Any", queue="default", payload=b"")])
    claimed = await driver.claim([Source("default")], 1, 90.0, "worker")
    holdings.add(claimed.claims[0])
    beating = asyncio.create_task(beat_of(driver, holdings, lease=90)._renewing(driver))
    while len(driver.renewals) < 4:
        clock.advance(1)
        for _ in range(10):  # What became due then is done before time goes on.
            await asyncio.sleep(0)
    beating.cancel()
    assert {later - earlier for earlier, later in pairwise(driver.renewals)} == {apart}


class SlowDriver(MemoryDriver):
    """Takes so many seconds to answer a heartbeat, and notes when it was asked to renew."""

    def __init__(self, clock, seconds):
        super().__init__(clock=clock)
        self.seconds = seconds
        self.renewals = []

    async def extend(self, extensions, lease):
        self.renewals.append(self.clock.time())
        await self.clock.sleep(self.seconds)
        return await super().extend(extensions, lease)

    async def announce(self, worker, ttl):
        await self.clock.sleep(self.seconds)


def beat_of(driver, holdings, *, lease):
    presence = Presence("worker", "here", 1, ["default"], 1, driver.clock.time())
    return Heartbeat(
        driver,
        holdings,
        presence,
        lease=lease,
        interrupt=lambda *_: None,
        restart=lambda: None,
        on_end=lambda: None,
        log=logging.getLogger("tests.worker"),
    )


async def test_jobs_in_the_hands_of_a_worker_that_ended_are_not_renewed(
    queue, make_worker, clock, stage
):
    handle = await queue.dispatch(define(deaf, stage)())
    worker = make_worker(lease=60)
    await worker.start()
    await begun(stage)
    await worker.stop(timeout=0)
    clock.advance(59)
    async with make_worker(lease=60):
        assert (await handle.status()).state is State.PROCESSING
        stage.started.clear()
        clock.advance(2)
        async with asyncio.timeout(PATIENCE):
            while not stage.started.is_set():
                # A sweep that was under way when the clock moved leaves it to the next one.
                await queue.size("default")
                await asyncio.sleep(0.01)
                clock.advance(1)
        assert stage.ctx.attempt == 2
        stage.proceed.set()


# Loss


@pytest.mark.parametrize("handling", [obedient, swallows_and_returns])
async def test_a_lost_lease_cancels_the_handler_and_nothing_is_reported(
    driver, queue, make_worker, clock, stage, events, handling
):
    handle = await queue.dispatch(define(handling, stage, timeout=10_000)())
    thief = driver.clone()
    thief.clock = clock
    await thief.open()
    async with make_worker(lease=60, concurrency=1) as worker:
        await begun(stage)
        await _steal(thief, stage.ctx)
        clock.advance(20)
        async with asyncio.timeout(PATIENCE):
            await stage.cancelled.wait()
        assert stage.ctx.cause == "lease_lost"

        class Next(Job):
            async def handle(self, ctx: Context) -> str:
                return "ran"

        after = await queue.dispatch(Next())
        assert await after.result(PATIENCE) == "ran"
        assert worker.running
    info = await handle.status()
    assert (info.state, info.attempts, info.worker) == (State.PROCESSING, 2, "thief")
    assert [
        type(event).__name__ for event in events.all if getattr(event, "job_id", "") == handle.id
    ] == [
        "JobQueued",
        "JobProcessing",
    ]
    assert stage.hooked == []
    await thief.close()


async def _steal(thief, ctx):
    """Another worker claims the job, as if the lease had run out unnoticed."""
    held = ctx._host.claim
    assert await thief.settle([Settlement(held.id, held.token, State.PENDING, 1)]) == [True]
    claimed = await thief.claim([Source("default")], 1, 1_000_000, "thief")
    assert [claim.id for claim in claimed.claims] == [held.id]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_an_outcome_that_comes_too_late_counts_nowhere_and_holds_nothing(
    driver, queue, make_worker, clock, caplog, batched, fails
):
    """Neither a slot, nor a lease that is to be renewed."""
    thief = driver.clone()
    thief.clock = clock
    await thief.open()

    class Late(Job, name="ComesTooLate", max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            await _steal(thief, ctx)
            if fails:
                raise ValueError("too late")

    class Next(Job, name="ComesNext"):
        async def handle(self, ctx: Context) -> str:
            return "ran"

    await (queue.batch(Late()).dispatch() if batched else queue.dispatch(Late()))
    async with make_worker(lease=600, concurrency=1) as worker:
        await until(lambda: "lost its lease" in caplog.text)
        after = await queue.dispatch(Next())
        assert await after.result(PATIENCE) == "ran"
        await until(lambda: not len(worker._shift._holdings))
        assert +worker.totals == {State.COMPLETED: 1}
    await thief.close()


@pytest.mark.parametrize("ending", ["returns", "raises", "retries"])
async def test_a_stale_outcome_changes_nothing_and_is_not_reported(
    driver, queue, make_worker, clock, stage, events, caplog, ending
):
    """The lease is lost unnoticed, and the handler ends before the heartbeat knows."""

    async def ends(stage):
        await stage.proceed.wait()
        if ending == "raises":
            raise ValueError("late")
        return "late"

    handle = await queue.dispatch(
        define(ends, stage, max_attempts=1 if ending == "raises" else 3)()
    )
    thief = driver.clone()
    thief.clock = clock
    await thief.open()
    async with make_worker(lease=60, concurrency=1):
        await begun(stage)
        await _steal(thief, stage.ctx)
        stage.proceed.set()
        await until(lambda: "lost its lease" in caplog.text)
    info = await handle.status()
    assert (info.state, info.attempts, info.worker) == (State.PROCESSING, 2, "thief")
    assert events.of_jobs() == ["JobQueued", "JobProcessing"]
    assert stage.hooked == []
    await thief.close()


async def test_progress_and_more_time_are_refused_once_the_lease_is_lost(
    driver, queue, make_worker, clock, stage
):
    refused = []

    async def asks(stage):
        await stage.proceed.wait()
        for ask in (stage.ctx.progress(1, 2), stage.ctx.extend(10)):
            try:
                await ask
            except LeaseLost as error:
                refused.append(error)

    await queue.dispatch(define(asks, stage)())
    thief = driver.clone()
    thief.clock = clock
    await thief.open()
    async with make_worker(lease=60, concurrency=1):
        await begun(stage)
        await _steal(thief, stage.ctx)
        stage.proceed.set()
        await until(lambda: len(refused) == 2)
    await thief.close()


# Crashes, as far as one process can tell


async def test_attempts_used_up_by_crashes_fail_the_job_without_running_it(
    driver, queue, make_worker, clock, stage, events
):
    handle = await queue.dispatch(define(obedient, stage, max_attempts=2)())

    for _ in range(2):
        claimed = await driver.claim([Source("default")], 1, 60, "crashed")
        assert len(claimed.claims) == 1
        clock.advance(60)
        assert await driver.sweep() == 1
    async with make_worker():
        (failed,) = await events.wait_for(JobFailed)
        await until(lambda: stage.hooked)
    assert stage.contexts == []
    assert [type(error) for error in stage.hooked] == [AttemptsExhausted]
    assert (stage.hook_attempts, failed.attempt) == ([2], 2)
    assert isinstance(failed.error, AttemptsExhausted)
    record = await queue.failed.get(handle.id)
    assert record.attempts == 2
    assert "AttemptsExhausted" in record.error
    assert events.of(JobProcessing) == []
    assert await queue.size("default") == 0


@pytest.mark.case("DRV-12", "MON-13")
async def test_a_swept_job_counts_its_attempt(queue, driver, make_worker, clock, stage):
    await queue.dispatch(define(obedient, stage)())
    await driver.claim([Source("default")], 1, 60, "crashed")
    clock.advance(61)
    async with make_worker(lease=60):
        await begun(stage)
        assert stage.ctx.attempt == 2


# A blocked event loop, for real


async def test_a_blocked_loop_keeps_its_jobs_and_is_reported_once(tmp_path, caplog):
    """A handler sleeps through several leases; a worker in another thread gets nothing."""
    runs = []

    class Blocks(Job):
        async def handle(self, ctx: Context) -> str:
            runs.append(ctx.attempt)
            time.sleep(2.0)
            return "slept"

    driver = SqliteDriver(tmp_path / "queue.db")
    over = threading.Event()
    ready = threading.Event()

    def compete():
        async def main():
            async with (
                Queue(driver.clone()) as queue,
                Worker(
                    queue, lease=0.6, poll_interval=0.02, logger=logging.getLogger("tests.rival")
                ),
            ):
                ready.set()
                await asyncio.to_thread(over.wait)

        asyncio.run(main())

    queue = Queue(driver)
    handle = await queue.dispatch(Blocks(), delay=0.0)
    async with Worker(queue, lease=0.6, logger=logging.getLogger("tests.worker")):
        rival = threading.Thread(target=compete)
        rival.start()
        try:
            assert await handle.result(10) == "slept"
        finally:
            over.set()
            await asyncio.to_thread(rival.join)
    assert runs == [1]
    blocked = [r.getMessage() for r in caplog.records if "is blocked" in r.getMessage()]
    assert len(blocked) == 1
    assert f"job Blocks {handle.id}" in blocked[0]
    assert f"{__file__}:" in blocked[0]
    await queue.close()
    await driver.close()


@pytest.mark.parametrize(("lease", "bound"), [(0.5, 300), (15, 300), (30, 600), (90, 1800)])
def test_a_blocked_worker_gives_its_jobs_up_after_twenty_leases(lease, bound):
    assert blocked_bound(lease) == bound


def test_who_gave_up_renews_again_once_the_loop_is_free():
    silent = 0.0
    beat = beat_of(MemoryDriver(), Holdings(), lease=30)
    beat._pulse = SimpleNamespace(
        silent_for=lambda: silent, current_task=lambda: None, place=lambda: "here"
    )
    told = []
    for silent in (0.0, 599.0, 601.0, 0.0, 601.0):  # noqa: B007 - the pulse reads it
        beat._look_at_loop()
        told.append(beat._gave_up)
    assert told == [False, False, True, False, True]


# Processes


class Process:
    """A worker in a process of its own."""

    def __init__(self, path, lease):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.behaviour.crashing", str(path), str(lease)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    async def said(self, line, patience=10):
        await until(lambda: line in self.lines, patience)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        await asyncio.to_thread(self.process.wait, 10)
        await asyncio.to_thread(self._reader.join)


@pytest.fixture
def start(tmp_path):
    processes = []

    def start(lease):
        processes.append(Process(tmp_path / "queue.db", lease))
        return processes[-1]

    yield start
    for process in processes:
        if process.process.poll() is None:
            process.kill()
        process.process.stdout.close()
        process.process.stdin.close()


@pytest.fixture
async def shared(tmp_path):
    from .crashing import Blocks, Endless, Returns  # noqa: PLC0415 - it registers jobs

    registry = Registry()
    for cls in (Blocks, Endless, Returns):
        registry.register(cls)
    driver = SqliteDriver(tmp_path / "queue.db")
    async with Queue(driver, registry=registry) as queue:
        yield queue
    await driver.close()


@pytest.mark.case("RTY-15")
async def test_killed_workers_use_up_attempts_and_then_the_job_fails_unrun(start, shared):
    """Kill −9 twice, then AttemptsExhausted, with one call of the hook."""
    from .crashing import Endless  # noqa: PLC0415 - it registers jobs

    handle = await shared.dispatch(Endless())
    for attempt in (1, 2):
        process = start(0.5)
        await process.said(f"running {attempt}")
        process.kill()
    last = start(0.5)
    await last.said("hook AttemptsExhausted")
    await last.end()
    assert not any(line.startswith("running") for line in last.lines)
    assert last.lines.count("hook AttemptsExhausted") == 1
    assert last.lines.count("event JobFailed") == 1
    assert (await shared.failed.get(handle.id)).attempts == 2


async def test_a_paused_process_that_wakes_up_changes_nothing(start, shared):
    """SIGSTOP for longer than the lease: another worker takes over, the first is refused."""
    from .crashing import Endless  # noqa: PLC0415 - it registers jobs

    handle = await shared.dispatch(Endless(), max_attempts=3)
    first = start(0.5)
    await first.said("running 1")
    with closing(sqlite3.connect(shared.driver.path, isolation_level=None)) as nobody_else:
        nobody_else.execute("BEGIN IMMEDIATE")  # One that stands still with the lock stops all.
        os.kill(first.process.pid, signal.SIGSTOP)
    second = start(5)  # However busy the machine is, this one keeps its own lease.
    await second.said("running 2")
    os.kill(first.process.pid, signal.SIGCONT)
    await first.said("cause lease_lost")
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PROCESSING, 2)
    await first.end()
    told = [line for line in first.lines if line.startswith("event Job")]
    assert told == ["event JobProcessing"]
    await second.end()
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 1)
