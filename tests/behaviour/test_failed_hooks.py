"""Hooks that hang hold up neither the jobs nor each other without end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading

import pytest

from asyncqueue import Context, Job, JobFailed, State
from asyncqueue.worker import hooks

from ..recorder import PATIENCE, until


class Callings:
    """What the hooks of a test share with it."""

    def __init__(self):
        self.begun = []
        self.cancelled = []
        self.proceed = asyncio.Event()
        self.thread_may_end = threading.Event()

    async def obedient(self, number):
        self.begun.append(number)
        try:
            await self.proceed.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    async def deaf(self, number):
        self.begun.append(number)
        while not self.proceed.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.proceed.wait()


@pytest.fixture
async def callings():
    callings = Callings()
    yield callings
    callings.proceed.set()
    callings.thread_may_end.set()


def broken(hook, **options):
    class Broken(Job, max_attempts=1, replace=True, **options):
        number: int = 0

        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

        async def failed(self, ctx: Context, error: BaseException) -> None:
            await hook(self.number)

    return Broken


async def test_as_many_hooks_at_a_time_as_jobs(queue, make_worker, events, callings):
    job = broken(callings.obedient)
    handles = await queue.dispatch_many([job(number=n) for n in range(5)])
    async with make_worker(concurrency=2):
        await events.wait_for(JobFailed, 5)
        assert callings.begun == [0, 1]
        assert {(await handle.status()).state for handle in handles} == {State.FAILED}
        callings.proceed.set()
        await until(lambda: callings.begun == [0, 1, 2, 3, 4])


@pytest.mark.parametrize("kind", ["obedient", "deaf"])
@pytest.mark.parametrize(
    ("job_says", "worker_says", "bound"), [(7, 30, 7), (None, 9, 9), (math.inf, math.inf, 30)]
)
async def test_a_hook_has_the_timeout_of_its_job(
    queue, make_worker, events, callings, clock, caplog, kind, job_says, worker_says, bound
):
    """Then its slot goes to the next one, whether it heeds its cancellation or not."""
    job = broken(getattr(callings, kind), timeout=job_says)
    await queue.dispatch_many([job(number=n) for n in range(2)])
    async with make_worker(concurrency=1, timeout=worker_says, lease=900):
        await events.wait_for(JobFailed, 2)
        await until(lambda: callings.begun == [0])
        clock.advance(bound - 0.5)
        await asyncio.sleep(0.005)
        assert callings.begun == [0]
        clock.advance(0.5)
        await until(lambda: callings.begun == [0, 1])
        assert f"is cut off after {bound} s" in caplog.text
        callings.proceed.set()
    assert callings.cancelled == ([0] if kind == "obedient" else [])


async def test_a_plain_hook_that_hangs_gives_its_slot_back(
    queue, make_worker, events, callings, clock, caplog
):
    class Broken(Job, max_attempts=1, timeout=5):
        number: int

        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

        def failed(self, ctx: Context, error: BaseException) -> None:
            callings.begun.append(self.number)
            callings.thread_may_end.wait(PATIENCE)

    await queue.dispatch_many([Broken(number=n) for n in range(2)])
    async with make_worker(concurrency=1, lease=900):
        await events.wait_for(JobFailed, 2)
        await until(lambda: callings.begun == [0])
        clock.advance(5)
        await until(lambda: callings.begun == [0, 1])
        callings.thread_may_end.set()
    assert "a plain function runs on in its thread" in caplog.text


async def test_hooks_do_not_pile_up_without_end(
    queue, make_worker, events, callings, caplog, monkeypatch
):
    """Those on top of the most that may wait are not called; every so many of them one is named."""
    monkeypatch.setattr(hooks, "MOST_WAITING", 2)
    monkeypatch.setattr(hooks, "SAID_EVERY", 3)
    job = broken(callings.obedient)
    await queue.dispatch_many([job(number=n) for n in range(7)])
    async with make_worker(concurrency=1):
        await events.wait_for(JobFailed, 7)
        await until(lambda: "3 left out before" in caplog.text)
        callings.proceed.set()
        await until(lambda: callings.begun == [0, 1, 2])
    assert callings.begun == [0, 1, 2]
    assert caplog.text.count("Broken.failed is not called for job") == 2


async def test_hooks_that_were_not_called_before_the_end_are_counted(
    queue, make_worker, events, callings, caplog
):
    job = broken(callings.obedient)
    await queue.dispatch_many([job(number=n) for n in range(3)])
    worker = make_worker(concurrency=1)
    await worker.start()
    await events.wait_for(JobFailed, 3)
    await worker.stop(timeout=0)
    assert callings.begun == callings.cancelled == [0]
    assert "2 failed hooks were not called" in caplog.text
