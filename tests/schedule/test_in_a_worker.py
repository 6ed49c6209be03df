"""A scheduler that a worker carries."""

from __future__ import annotations

import asyncio
import logging

import pytest

from asyncqueue import Job, Queue, Scheduler, Worker
from asyncqueue.drivers.memory import MemoryDriver

from .conftest import dispatched
from .holding import Held, turns
from .jobs import Report

LOG = logging.getLogger("tests.worker")


@pytest.fixture
def queue(clock) -> Queue:
    return Queue(MemoryDriver(clock=clock))


async def test_it_dispatches_and_the_worker_runs(queue, clock):
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", Report())
    async with queue, Worker(queue, ["scheduled"], logger=LOG, scheduler=scheduler) as worker:
        assert scheduler.running
        clock.advance(60)
        await dispatched(scheduler)
        async with asyncio.timeout(10):
            while (await queue.status("schedule:a:2030-01-01T00:01Z")).state != "completed":
                await asyncio.sleep(0)
        await worker.stop()
        assert not scheduler.running
        clock.advance(60)
        await turns()
        assert await queue.size("scheduled") == 0


@pytest.mark.case("SCH-10", "SCH-12")
@pytest.mark.parametrize("way", ["stop", "cancel", "queue", "limit"])
async def test_it_ends_with_the_worker(queue, clock, way):
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", Report())
    limits = {"max_time": 3600} if way == "limit" else {}
    worker = Worker(queue, ["scheduled"], logger=LOG, scheduler=scheduler, **limits)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        while not scheduler.running:
            await asyncio.sleep(0)
    if way == "stop":
        await worker.stop()
    elif way == "cancel":
        running.cancel()
    elif way == "queue":
        await queue.close()
    else:
        clock.advance(3600)
    await running
    assert not scheduler.running
    assert not worker.running


async def test_nothing_new_is_dispatched_while_the_worker_winds_down(queue, clock):
    going, let_go = asyncio.Event(), asyncio.Event()

    class Slow(Job, replace=True):
        async def handle(self, ctx) -> None:
            going.set()
            await let_go.wait()

    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", Report(), queue="elsewhere")
    async with queue, Worker(queue, logger=LOG, grace=300, scheduler=scheduler) as worker:
        await queue.dispatch(Slow())
        await going.wait()
        stopping = asyncio.create_task(worker.stop())
        await turns()
        clock.advance(120)
        await turns()
        let_go.set()
        await stopping
        assert await queue.size("elsewhere") == 0


async def test_what_is_being_dispatched_may_end_but_not_hold_up_the_worker(queue, clock):
    held = Held()
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", held)
    async with queue:
        worker = Worker(queue, logger=LOG, scheduler=scheduler)
        await worker.start()
        clock.advance(60)
        await turns()
        stopping = asyncio.create_task(worker.stop())
        await turns(50)
        assert not stopping.done()
        held.let_go.set()
        await stopping
        assert await queue.size("scheduled") == 1

        held.let_go.clear()
        await worker.start()
        clock.advance(60)
        await turns()
        async with asyncio.timeout(10):
            await worker.stop(0.05)
        assert held.ended == held.calls == 2
        assert not scheduler.running


async def test_it_starts_again_with_the_worker(queue, clock):
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", Report())
    async with queue:
        worker = Worker(queue, logger=LOG, scheduler=scheduler)
        for minute in (1, 2):
            async with worker:
                clock.advance(60)
                await dispatched(scheduler)
            assert await queue.size("scheduled") == minute


async def test_a_job_may_stop_the_worker_that_carries_it(queue, clock):
    scheduler = Scheduler(queue)

    class Stops(Job, replace=True):
        async def handle(self, ctx) -> None:
            await scheduler.stop()
            await worker.stop()

    scheduler.cron("a", "* * * * *", Stops())
    worker = Worker(queue, ["scheduled"], logger=LOG, scheduler=scheduler)
    async with queue:
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(10):
            while not scheduler.running:
                await asyncio.sleep(0)
            clock.advance(60)
            await running


async def test_a_scheduler_that_breaks_ends_its_worker(queue, clock):
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", Report())
    worker = Worker(queue, logger=LOG, scheduler=scheduler)
    async with queue:
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(10):
            while not scheduler.running:
                await asyncio.sleep(0)
            scheduler._broken(LookupError("no calendar"))
            with pytest.raises(LookupError, match="no calendar"):
                await running
    assert worker.stop_reason == "its scheduler broke"


async def test_one_that_was_stopped_by_itself_leaves_the_worker_alone(queue, clock):
    scheduler = Scheduler(queue)
    async with queue, Worker(queue, logger=LOG, scheduler=scheduler) as worker:
        await scheduler.stop()
        await turns(20)
        assert worker.running


async def test_the_last_of_several_workers_ends_it(queue, clock):
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", Report(), queue="elsewhere")
    async with queue:
        first, last = (Worker(queue, logger=LOG, scheduler=scheduler) for _ in range(2))
        await asyncio.gather(first.start(), last.start())
        await first.stop()
        clock.advance(60)
        await dispatched(scheduler)
        assert await queue.size("elsewhere") == 1
        await first.start()
        await last.stop()
        assert scheduler.running
        await first.stop()
        assert not scheduler.running


async def test_one_that_its_owner_started_is_left_to_its_owner(queue, clock):
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", Report(), queue="elsewhere")
    async with queue, scheduler:
        async with Worker(queue, logger=LOG, scheduler=scheduler):
            assert scheduler.running
        clock.advance(60)
        await dispatched(scheduler)
        assert await queue.size("elsewhere") == 1
    assert not scheduler.running


async def test_a_worker_waits_for_one_that_is_ending(queue, clock):
    held = Held()
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", held)
    async with queue:
        await scheduler.start()
        clock.advance(60)
        await turns()
        scheduler.request_stop()
        assert scheduler.ending
        worker = Worker(queue, logger=LOG, scheduler=scheduler)
        starting = asyncio.create_task(worker.start())
        await turns(50)
        assert not starting.done()
        held.let_go.set()
        await starting
        assert scheduler.running
        assert not scheduler.ending
        clock.advance(60)
        await dispatched(scheduler)
        await worker.stop()
        assert held.calls == 2


def test_what_is_no_scheduler(queue):
    with pytest.raises(TypeError, match="scheduler must be a Scheduler, got 5"):
        Worker(queue, scheduler=5)
