"""A store may hand the next job to a worker that waits: what the worker makes of it."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import Context, DriverUnavailable, Job, State
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.watches import Watch
from asyncqueue.execution.runner import Runner
from asyncqueue.record import Claimed

from ..recorder import PATIENCE, until


class Hands:
    """Tells whoever waits what the test wants, and notes who asked for how much."""

    def __init__(self, driver):
        self.asked = []
        self.waits = 0
        self.told = asyncio.Queue()
        """How many jobs to hand out; None to tell him to look; or an error."""
        self.more = False
        self.now = self.due_in = None
        self.patience = 0.0
        self.watches = []
        self.claimed, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()
        self._claim = driver.claim
        driver.claim, driver.claim_next, driver.watch = self.claim, self.claim_next, self.watch

    def watch(self, topics):
        """One that only the worker itself rings, and the test."""
        self.watches.append(Watch(topics))
        return self.watches[-1]

    async def claim(self, sources, limit, lease, worker):
        self.asked.append(limit)
        return await self._claim(sources, limit, lease, worker)

    async def claim_next(self, sources, lease, worker, watch, patience):
        self.waits += 1
        self.patience = patience
        telling = asyncio.ensure_future(self.told.get())
        await watch.wait_or(telling, PATIENCE)
        told = telling.result() if telling.done() else None
        telling.cancel()
        if isinstance(told, Exception):
            raise told
        if told is None:
            return None
        found = await self._claim(sources, told, lease, worker)
        self.claimed.set()
        await self.may_answer.wait()
        return Claimed(found.claims, self.due_in, self.now, self.more)


class Waits(Job, name="handed out"):
    async def handle(self, ctx: Context) -> None:
        gate.running += 1
        await gate.open.wait()


class Gate:
    def __init__(self):
        self.running = 0
        self.open = asyncio.Event()


@pytest.fixture(autouse=True)
async def of_this_test():
    global gate  # noqa: PLW0603 - jobs are made anew from what is stored
    gate = Gate()


@pytest.fixture
def driver():
    return MemoryDriver()


@pytest.fixture
def hands(driver):
    return Hands(driver)


async def waiting(hands, times):
    await until(lambda: hands.waits >= times)


async def test_a_job_that_is_handed_out_runs_and_the_worker_waits_on(hands, queue, make_worker):
    async with make_worker(), asyncio.timeout(PATIENCE):
        await waiting(hands, 1)
        asked = len(hands.asked)
        handles = []
        for times in (2, 3, 4):
            handles += [await queue.dispatch(Waits())]
            hands.told.put_nowait(1)
            await waiting(hands, times)
        assert gate.running == 3
        assert len(hands.asked) == asked
        gate.open.set()
        for handle in handles:
            await handle.result(timeout=PATIENCE)


async def test_where_there_are_others_they_are_claimed_at_once(hands, queue, make_worker):
    async with make_worker(concurrency=5), asyncio.timeout(PATIENCE):
        await waiting(hands, 1)
        asked = len(hands.asked)
        hands.more = True
        await queue.dispatch_many([Waits() for _ in range(3)])
        hands.told.put_nowait(1)
        await waiting(hands, 2)
        assert hands.asked[asked:] == [4]
        assert gate.running == 3
        gate.open.set()


async def test_it_waits_no_longer_than_until_the_next_one_is_due(hands, queue, make_worker):
    async with make_worker(poll_interval=60), asyncio.timeout(PATIENCE):
        await waiting(hands, 1)
        assert hands.patience == 60
        hands.due_in = 5.0
        await queue.dispatch(Waits())
        hands.told.put_nowait(1)
        await waiting(hands, 2)
        assert hands.patience == 5
        gate.open.set()


async def test_the_time_of_the_store_is_heard(hands, queue, make_worker, monkeypatch):
    """By which ``retry_until`` is judged."""
    heard = []
    monkeypatch.setattr(Runner, "hear_time", lambda _, now: heard.append(now))
    hands.now = 123.0
    async with make_worker(), asyncio.timeout(PATIENCE):
        await waiting(hands, 1)
        await queue.dispatch(Waits())
        hands.told.put_nowait(1)
        await waiting(hands, 2)
        assert heard[-1] == 123.0
        gate.open.set()


async def test_a_worker_without_room_waits_for_none(hands, queue, make_worker):
    async with make_worker(concurrency=2), asyncio.timeout(PATIENCE):
        await waiting(hands, 1)
        await queue.dispatch_many([Waits() for _ in range(3)])
        hands.told.put_nowait(1)
        await waiting(hands, 2)
        hands.told.put_nowait(1)
        await until(lambda: gate.running == 2)
        assert hands.waits == 2
        gate.open.set()
        await until(lambda: gate.running == 3)


async def test_a_ring_that_came_meanwhile_is_not_forgotten(hands, queue, make_worker):
    """The store hands out one job, and another comes where only a claim finds it."""
    async with make_worker(concurrency=5), asyncio.timeout(PATIENCE):
        await waiting(hands, 1)
        asked = len(hands.asked)
        await queue.dispatch_many([Waits(), Waits()])
        hands.told.put_nowait(1)
        for watch in hands.watches:
            watch.ring()
        await until(lambda: gate.running == 2)
        assert hands.asked[asked:] == [4]
        gate.open.set()


async def test_a_job_that_comes_after_the_end_was_asked_for_is_handed_back(
    hands, queue, make_worker
):
    worker = make_worker()
    hands.may_answer.clear()
    async with asyncio.timeout(PATIENCE):
        await worker.start()
        await waiting(hands, 1)
        handle = await queue.dispatch(Waits())
        hands.told.put_nowait(1)
        await hands.claimed.wait()
        stopping = asyncio.create_task(worker.stop())
        await until(lambda: worker.stop_reason)
        hands.may_answer.set()
        await stopping
    info = await handle.status()
    assert (info.state, info.attempts, gate.running) == (State.PENDING, 0, 0)


async def test_a_worker_that_may_run_so_many_jobs_has_none_handed_out(hands, queue, make_worker):
    """What waits for one pool could not be claimed by another."""
    gate.open.set()
    worker = make_worker(max_jobs=1)
    async with asyncio.timeout(PATIENCE):
        await worker.start()
        await until(lambda: hands.asked)
        await queue.dispatch(Waits())
        await worker.run()
    assert worker.stop_reason == "max_jobs"
    assert hands.waits == 0


@pytest.mark.parametrize("error", [DriverUnavailable("away"), RuntimeError("a bug of a driver")])
async def test_a_wait_that_fails_does_not_end_the_worker(hands, queue, make_worker, error, caplog):
    async with make_worker(), asyncio.timeout(PATIENCE):
        await waiting(hands, 1)
        hands.told.put_nowait(error)
        handle = await queue.dispatch(Waits())
        gate.open.set()
        await handle.result(timeout=PATIENCE)
        hands.told.put_nowait(None)
    assert str(error) in caplog.text
