"""What is promised of schedulers, on every driver."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from asyncqueue import DriverError, Queue, Scheduler

from .conftest import dispatched
from .holding import Held, turns
from .jobs import Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from asyncqueue.record import Record


@pytest.fixture
async def scheduler(queue: Queue) -> AsyncIterator[Scheduler]:
    async with queue:
        scheduler = Scheduler(queue)
        yield scheduler
        await scheduler.stop()


async def fired(queue: Queue) -> Counter[str]:
    """How many jobs each entry has dispatched."""
    page = await queue.jobs(limit=1000)
    return Counter(info.id.split(":")[1] for info in page.items)


def theirs() -> list[str]:
    """The asyncio tasks of schedulers."""
    names = [one.get_name() for one in asyncio.all_tasks()]
    return [name for name in names if name.startswith("asyncqueue-schedule")]


@pytest.mark.case("SCH-07")
async def test_a_due_entry_is_dispatched(scheduler, queue, clock, said):
    scheduler.cron("daily-report", "0 0 * * *", Report(7))
    async with scheduler:
        clock.advance(86399)
        await dispatched(scheduler)
        assert await fired(queue) == {}
        clock.advance(1)
        await dispatched(scheduler)
    (info,) = (await queue.jobs()).items
    assert (info.name, info.queue, info.state) == ("ScheduledReport", "scheduled", "pending")
    assert any('"daily-report"' in line for line in said())


@pytest.mark.case("SCH-08")
async def test_usual_expressions_over_a_day(scheduler, queue, clock):
    scheduler.cron("day", "0 0 * * *", Report())
    scheduler.cron("hour", "0 * * * *", Report())
    scheduler.cron("minutes", "*/5 * * * *", Report())
    async with scheduler:
        for _ in range(24):
            clock.advance(3600)
            await dispatched(scheduler)
    assert await fired(queue) == {"day": 1, "hour": 24, "minutes": 288}


@pytest.mark.case("SCH-11", "SCH-12")
async def test_intervals(scheduler, queue, clock):
    scheduler.every("health-check", 30, Report())
    scheduler.every("metrics", 300, Report())
    async with scheduler:
        clock.advance(29.9)
        await dispatched(scheduler)
        assert await fired(queue) == {}
        for _ in range(20):
            clock.advance(30)
            await dispatched(scheduler)
        assert await fired(queue) == {"health-check": 20, "metrics": 2}
        assert await queue.size("recurring") == 22
    clock.advance(3600)
    await turns()
    assert await queue.size("recurring") == 22
    assert clock.pending == 0


@pytest.mark.case("SCH-13")
async def test_a_new_job_each_time(scheduler, queue, clock):
    job = Report(5)
    scheduler.cron("a", "* * * * *", job)
    async with scheduler:
        clock.advance(180)
        await dispatched(scheduler)
    page = await queue.jobs()
    assert len({info.id for info in page.items}) == 3
    stored = (await queue.driver.find(_everything())).items
    assert len({one.payload for one in stored}) == 1


def _everything():
    from asyncqueue.record import Filter  # noqa: PLC0415

    return Filter()


@pytest.mark.case("SCH-14")
async def test_late_registration(scheduler, queue, clock):
    async with scheduler:
        clock.advance(90)
        scheduler.cron("late", "* * * * *", Report())
        clock.advance(29)
        await dispatched(scheduler)
        assert await fired(queue) == {}
        clock.advance(1)
        await dispatched(scheduler)
    assert await fired(queue) == {"late": 1}


@pytest.mark.case("SCH-20")
async def test_joining_late_waits_for_the_next_slot(scheduler, queue, clock):
    scheduler.cron("noon", "0 12 * * *", Report())
    clock.advance(12 * 3600 + 30)
    async with scheduler:
        clock.advance(86400 - 31)
        await dispatched(scheduler)
        assert await fired(queue) == {}
        clock.advance(1)
        await dispatched(scheduler)
    assert await fired(queue) == {"noon": 1}


@pytest.mark.case("SCH-03", "SCH-06")
async def test_one_that_fails_every_time_is_tried_every_time(scheduler, queue, clock, said):
    def fail() -> Report:
        raise ValueError("no report today")

    scheduler.cron("failing", "* * * * *", fail)
    scheduler.cron("good", "* * * * *", Report())
    async with scheduler:
        for _ in range(3):
            clock.advance(60)
            await dispatched(scheduler)
    assert await fired(queue) == {"good": 3}
    lines = said()
    for name in ("failing", "good"):
        assert sum(f'Schedule "{name}" started for' in line for line in lines) == 3
    failed = [line for line in lines if line.startswith('ERROR Schedule "failing" failed after')]
    assert len(failed) == 3
    assert all(line.endswith("s: ValueError: no report today") for line in failed)
    assert sum('INFO Schedule "good" completed in' in line for line in lines) == 3


@pytest.mark.case("SCH-09")
async def test_a_dispatch_that_is_slow_or_fails_delays_no_other(
    scheduler, queue, clock, monkeypatch
):
    let_go = asyncio.Event()
    enqueue = queue.driver.enqueue

    async def choosy(records: Sequence[Record], **options):
        if any(record.queue == "refused" for record in records):
            raise DriverError("this one is refused")
        return await enqueue(records, **options)

    async def slow() -> Report:
        await let_go.wait()
        return Report()

    monkeypatch.setattr(queue.driver, "enqueue", choosy)
    scheduler.cron("slow", "* * * * *", slow)
    scheduler.cron("refused", "* * * * *", Report(), queue="refused")
    scheduler.cron("quick", "* * * * *", Report())
    async with scheduler:
        for minute in (1, 2, 3):
            clock.advance(60)
            await turns()
            quick = [one for one in scheduler._firings if one.get_name().endswith(" quick")]
            if quick:
                await asyncio.wait(quick)
            assert await fired(queue) == {"quick": minute}
        let_go.set()
    assert await fired(queue) == {"quick": 3, "slow": 3}


@pytest.mark.case("SCH-04")
async def test_a_stop_waits_for_what_is_being_dispatched(scheduler, queue, clock):
    held = Held()
    scheduler.cron("a", "* * * * *", held)
    await scheduler.start()
    clock.advance(60)
    await turns()
    stopping = asyncio.create_task(scheduler.stop())
    await turns()
    assert not stopping.done()
    assert scheduler.running
    held.let_go.set()
    await stopping
    assert not scheduler.running
    assert await fired(queue) == {"a": 1}


@pytest.mark.case("SCH-10")
async def test_it_ends_with_its_scope(scheduler, queue, clock):
    held = Held()
    scheduler.cron("held", "* * * * *", held)
    scheduler.cron("quick", "* * * * *", Report())
    running = asyncio.create_task(scheduler.run())
    while not scheduler.running:
        await asyncio.sleep(0)
    clock.advance(60)
    while not await fired(queue):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert held.ended == 1
    assert theirs() == []
    clock.advance(600)
    await turns()
    assert await fired(queue) == {"quick": 1}
