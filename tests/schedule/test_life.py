"""How a scheduler starts, stops, and is stopped."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from asyncqueue import AsyncQueueError, DriverUnavailable, Job, Queue, QueueClosed, Scheduler
from asyncqueue.drivers.memory import MemoryDriver

from .conftest import dispatched
from .holding import Held, turns
from .jobs import Report


@pytest.mark.case("SCH-04")
async def test_a_stop_waits_for_a_job_of_the_sync_driver(clock):
    ended: list[str] = []

    class Slow(Job, replace=True):
        async def handle(self, ctx):
            await clock.sleep(0.5)
            ended.append(ctx.job_id)

    async with Queue("sync://", clock=clock) as queue:
        scheduler = Scheduler(queue)
        scheduler.cron("a", "* * * * *", Slow())
        await scheduler.start()
        clock.advance(60)
        while not clock.pending:
            await asyncio.sleep(0)
        stopping = asyncio.create_task(scheduler.stop())
        await turns()
        assert not stopping.done()
        clock.advance(0.5)
        await stopping
        assert ended == ["schedule:a:2030-01-01T00:01Z"]


async def test_a_stop_with_a_timeout_ends_it_all(scheduler, fake, clock):
    held = Held()
    scheduler.cron("a", "* * * * *", held)
    await scheduler.start()
    clock.advance(60)
    await turns()
    await scheduler.stop(0.01)
    assert held.ended == 1
    assert not scheduler.running
    fake.assert_nothing_pushed()


@pytest.mark.case("SCH-12", "SCH-10")
@pytest.mark.parametrize("way", ["stop", "block", "request", "queue"])
async def test_nothing_is_dispatched_after_a_stop(fake, clock, way):
    scheduler = Scheduler(fake)
    scheduler.cron("cron", "* * * * *", Report())
    scheduler.every("every", 30, Report())
    await scheduler.start()
    clock.advance(60)
    await dispatched(scheduler)
    fake.assert_pushed(Report, times=3)
    if way == "stop":
        await scheduler.stop()
    elif way == "block":
        await scheduler.__aexit__(None, None, None)
    elif way == "request":
        scheduler.request_stop()
        await scheduler.run()
    else:
        await fake.close()
    assert not scheduler.running
    clock.advance(3600)
    await turns()
    fake.assert_pushed(Report, times=3)
    assert clock.pending == 0


@pytest.mark.case("SCH-10")
async def test_it_ends_with_its_scope(scheduler, fake, clock):
    held = Held()
    scheduler.cron("held", "* * * * *", held)
    scheduler.cron("quick", "* * * * *", Report())
    before = asyncio.all_tasks()
    running = asyncio.create_task(scheduler.run())
    await turns()
    clock.advance(60)
    await turns()
    fake.assert_pushed(Report, times=1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert held.ended == 1
    clock.advance(600)
    await turns()
    fake.assert_pushed(Report, times=1)
    assert asyncio.all_tasks() == before
    assert clock.pending == 0
    assert not scheduler.running


@pytest.mark.case("SCH-10")
async def test_it_ends_with_a_cancel_scope_of_anyio(scheduler, fake, clock):
    scheduler.cron("a", "* * * * *", Held())
    before = asyncio.all_tasks()
    async with anyio.create_task_group() as scope:
        scope.start_soon(scheduler.run)
        await turns()
        clock.advance(60)
        await turns()
        scope.cancel_scope.cancel()
    assert not scheduler.running
    assert asyncio.all_tasks() == before
    with anyio.move_on_after(10) as scope:
        async with scheduler:
            scope.cancel()
            await asyncio.sleep(1)
    assert not scheduler.running


async def test_it_can_be_started_again(scheduler, fake, clock):
    scheduler.cron("a", "* * * * *", Report())
    for _ in range(3):
        async with scheduler:
            assert scheduler.running
            clock.advance(60)
            await dispatched(scheduler)
    fake.assert_pushed(Report, times=3)


async def test_starting_and_stopping_twice_is_harmless(scheduler, fake, clock):
    scheduler.cron("a", "* * * * *", Report())
    await scheduler.stop()
    scheduler.request_stop()
    async with scheduler:
        await asyncio.gather(scheduler.start(), scheduler.start())
        running = asyncio.create_task(scheduler.run())
        await turns()
        clock.advance(60)
        await dispatched(scheduler)
        fake.assert_pushed(Report, times=1)
        await asyncio.gather(scheduler.stop(), scheduler.stop(5), scheduler.finish(5))
        await running


async def test_the_first_slot_counts_from_the_very_start(fake, clock):
    """Between its start and the first turn of anything else, no slot gets lost."""
    scheduler = Scheduler(fake)
    scheduler.every("a", 60, Report())
    running = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0)
    clock.advance(60)
    await dispatched(scheduler)
    fake.assert_pushed(Report, times=1)
    await scheduler.stop()
    await running


async def test_from_inside_a_stop_returns_at_once(fake, clock):
    scheduler = Scheduler(fake)
    seen: list[bool] = []

    async def stop() -> Report:
        seen.append(scheduler.inside())
        await scheduler.stop()
        return Report()

    scheduler.cron("a", "* * * * *", stop)
    await scheduler.start()
    clock.advance(60)
    await scheduler.run()
    assert seen == [True]
    assert not scheduler.inside()
    fake.assert_pushed(Report, times=1)


async def test_from_inside_the_queue_cannot_be_closed(scheduler, fake, clock):
    raised: list[Exception] = []

    async def close() -> Report:
        try:
            await fake.close()
        except AsyncQueueError as error:
            raised.append(error)
        return Report()

    scheduler.cron("a", "* * * * *", close)
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
    assert "cannot close the queue" in str(raised[0])


async def test_a_closed_queue_schedules_nothing(fake):
    await fake.close()
    with pytest.raises(QueueClosed):
        await Scheduler(fake).start()


async def test_a_store_that_cannot_be_reached_at_the_start(clock):
    class Away(MemoryDriver):
        async def open(self):
            raise DriverUnavailable("nothing answers")

    scheduler = Scheduler(Queue(Away(clock=clock)))
    with pytest.raises(DriverUnavailable, match="nothing answers"):
        await scheduler.run()
    assert not scheduler.running


async def test_a_shutdown_of_the_queue_stops_it(clock):
    queue = Queue(MemoryDriver(clock=clock))
    held = Held()
    scheduler = Scheduler(queue)
    scheduler.cron("a", "* * * * *", held)
    await scheduler.start()
    clock.advance(60)
    await turns()
    held.let_go.set()
    await queue.shutdown(10)
    assert not scheduler.running
    assert held.ended == 1


async def test_a_fault_of_its_own_is_told_to_whoever_runs_it(scheduler, fake, clock, said):
    class Broken:
        zone = None

        def first(self, now):
            from asyncqueue.schedule.slots import Slot  # noqa: PLC0415

            return Slot(now + 60, 1)

        def following(self, slot):
            raise LookupError("no calendar")

    scheduler.cron("a", "* * * * *", Report())
    scheduler._entries["a"].timing = Broken()
    running = asyncio.create_task(scheduler.run())
    await turns()
    clock.advance(60)
    with pytest.raises(LookupError, match="no calendar"):
        await running
    assert "CRITICAL The scheduler ended by a fault of its own" in said()
    assert not scheduler.running
