"""Several schedulers on one store: each slot is dispatched once, and runs do not overlap."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Job, JobNotFound, Queue, Scheduler
from asyncqueue.testing import drain

from .conftest import Wall, dispatched

if TYPE_CHECKING:
    from asyncqueue.testing import Clock

ran: list[str] = []


class Report(Job, name="ReportOfSlot", retention=0):
    """Of which nothing would be kept once it has run, if it were not scheduled."""

    async def handle(self, ctx) -> str:
        ran.append(ctx.job_id)
        return "done"


class Breaks(Job, name="BreaksInSlot", max_attempts=1):
    async def handle(self, ctx) -> None:
        ran.append(ctx.job_id)
        raise ValueError("broken")


class Unique(Job, name="UniqueInSlot", unique=True):
    async def handle(self, ctx) -> None:
        ran.append(ctx.job_id)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def runs() -> Counter[str]:
    return Counter(id.split(":")[1] for id in ran)


def entries(scheduler: Scheduler) -> Scheduler:
    scheduler.cron("cron", "* * * * *", Report())
    scheduler.every("every", 60, Report())
    scheduler.cron("factory", "*/2 * * * *", Report)
    return scheduler


@pytest.mark.case("SCH-19")
@pytest.mark.parametrize("ahead", [-300.0, -0.5, 2.0, 59.9, 300.0])
async def test_one_dispatch_in_all_whatever_the_clocks_say(queue, beside, clock, ahead):
    """Jobs run as soon as they can, so that their records would be gone if nobody kept them."""
    other = entries(Scheduler(beside(ahead)))
    async with queue, entries(Scheduler(queue)) as scheduler, other:
        for _ in range(20):
            clock.advance(30)
            await dispatched(scheduler, other)
            await drain(queue)
    assert set(Counter(ran).values()) == {1}
    found = runs()
    # What one of them sees of its first and its last minutes, the other may not.
    more = abs(ahead) / 60 + 1
    assert 10 <= found["cron"] <= 10 + more
    assert 10 <= found["every"] <= 10 + more
    assert 5 <= found["factory"] <= 5 + more


@pytest.mark.case("SCH-19")
async def test_many_schedulers_at_the_same_moment(queue, beside, clock):
    queues = [queue, *(beside() for _ in range(7))]
    schedulers = [entries(Scheduler(each)) for each in queues]
    for scheduler in schedulers:
        await scheduler.start()
    for _ in range(5):
        clock.advance(60)
        await dispatched(*schedulers)
    page = await queue.jobs(limit=100)
    assert Counter(info.id.split(":")[1] for info in page.items) == {
        "cron": 5,
        "every": 5,
        "factory": 2,
    }
    for scheduler in schedulers:
        await scheduler.stop()


@pytest.mark.case("SCH-19")
async def test_who_joins_in_between_repeats_nothing(queue, beside, clock):
    async with queue, entries(Scheduler(queue)) as scheduler:
        clock.advance(90)
        await dispatched(scheduler)
        await drain(queue)
        async with entries(Scheduler(beside(-30))) as other:  # Its minute is to come.
            clock.advance(15)
            await dispatched(scheduler, other)
            clock.advance(15)
            await dispatched(scheduler, other)
            await drain(queue)
    assert set(Counter(ran).values()) == {1}
    assert runs()["cron"] == 2


async def test_who_dies_is_stood_in_for(queue, beside, clock):
    """Nobody leads, so nobody has to be elected: another one dispatches the very next slot."""
    queue_of_other = beside()
    first = entries(Scheduler(queue))
    async with queue, entries(Scheduler(queue_of_other)) as other:
        await first.start()
        clock.advance(60)
        await dispatched(first, other)
        first._main.cancel()
        await asyncio.wait([first._main])
        clock.advance(60)
        await dispatched(other)
        await drain(queue)
    assert runs() == {"cron": 2, "every": 2, "factory": 1}


async def test_the_record_of_a_slot_is_kept_for_its_time_without_the_result(queue, clock):
    async with queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "0 * * * *", Report())
        clock.advance(3600)
        await dispatched(scheduler)
        await drain(queue)
        clock.advance(959)
        info = await queue.status("schedule:a:2030-01-01T01:00Z")
        assert (info.state, info.result) == ("completed", None)
        clock.advance(2)
        with pytest.raises(JobNotFound):
            await queue.status(info.id)


async def test_a_longer_retention_is_left_alone(queue, clock):
    class Kept(Job, replace=True, retention=7200):
        async def handle(self, ctx) -> str:
            return "kept"

    async with queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "0 * * * *", Kept())
        clock.advance(3600)
        await dispatched(scheduler)
        await drain(queue)
        clock.advance(7199)
        assert (await queue.status("schedule:a:2030-01-01T01:00Z")).result == "kept"


async def test_a_failed_slot_is_not_dispatched_again(queue, beside, clock):
    queue_of_other = beside(-60)
    clock.advance(120)
    async with queue, Scheduler(queue) as scheduler, Scheduler(queue_of_other) as other:
        for each in (scheduler, other):
            each.cron("a", "@hourly", Breaks())
        clock.advance(3480)
        await dispatched(scheduler, other)
        await drain(queue)
        clock.advance(60)
        await dispatched(scheduler, other)
        await drain(queue)
        assert ran == ["schedule:a:2030-01-01T01:00Z"]
        assert (await queue.failed.list()).total == 1


# Overlap


@pytest.mark.case("SCH-18")
async def test_a_run_that_is_waiting_or_going_on_keeps_the_next_one_back(
    queue, beside, clock, said
):
    queue_of_other = beside()
    async with queue, Scheduler(queue) as scheduler, Scheduler(queue_of_other) as other:
        for each in (scheduler, other):
            each.cron("a", "* * * * *", Report(), overlap=False)
        clock.advance(60)
        await dispatched(scheduler, other)
        clock.advance(60)  # It waits.
        await dispatched(scheduler, other)
        (source,) = await queue.driver.counts()
        claim = await claimed(queue)
        clock.advance(20)
        clock.advance(40)  # It runs.
        await dispatched(scheduler, other)
        assert await queue.size(source) == 0
        await completed(queue, claim)
        clock.advance(60)
        await dispatched(scheduler, other)
        await drain(queue)
    assert ran == ["schedule:a:2030-01-01T00:04Z"]
    skipped = [line for line in said() if "skipped" in line]
    assert len(skipped) == 4
    assert all(
        line.endswith("skipped, as schedule:a:2030-01-01T00:01Z is not finished")
        for line in skipped
    )


@pytest.mark.case("SCH-18")
async def test_a_run_that_raises_frees_the_next_one(queue, clock):
    async with queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "* * * * *", Breaks(), overlap=False)
        for _ in range(3):
            clock.advance(60)
            await dispatched(scheduler)
            await drain(queue)
    assert len(ran) == 3


@pytest.mark.case("SCH-18")
async def test_a_run_between_two_attempts_is_going_on(queue, clock):
    class BreaksOnce(Job, replace=True, max_attempts=2, backoff=90):
        async def handle(self, ctx) -> None:
            ran.append(ctx.job_id)
            if ctx.attempt == 1:
                raise ValueError("broken")

    async with queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "* * * * *", BreaksOnce(), overlap=False)
        for _ in range(4):
            clock.advance(60)
            await dispatched(scheduler)
            await drain(queue)
    first, fourth = "schedule:a:2030-01-01T00:01Z", "schedule:a:2030-01-01T00:04Z"
    assert ran == [first, first, fourth]


@pytest.mark.case("SCH-18")
async def test_a_run_that_never_ends_keeps_the_next_one_back_for_a_day(queue, clock):
    async with queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "@hourly", Report(), overlap=False, queue="nobody")
        for _ in range(24):
            clock.advance(3600)
            await dispatched(scheduler)
        assert await queue.size("nobody") == 1
        clock.advance(3600)
        await dispatched(scheduler)
        assert await queue.size("nobody") == 2


async def test_a_run_that_was_cancelled_frees_the_next_one(queue, clock):
    async with queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "* * * * *", Report(), overlap=False)
        clock.advance(60)
        await dispatched(scheduler)
        assert await queue.cancel("schedule:a:2030-01-01T00:01Z")
        clock.advance(60)
        await dispatched(scheduler)
        await drain(queue)
    assert ran == ["schedule:a:2030-01-01T00:02Z"]


async def test_entries_that_may_overlap_do(queue, clock):
    async with queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "* * * * *", Report())
        scheduler.cron("b", "* * * * *", Report(), overlap=False)
        scheduler.cron("c", "* * * * *", Report(), overlap=False)
        for _ in range(3):
            clock.advance(60)
            await dispatched(scheduler)
        await drain(queue)
    assert runs() == {"a": 3, "b": 1, "c": 1}


@pytest.mark.parametrize("overlap", [True, False])
async def test_a_unique_job_goes_by_its_own_key(queue, clock, said, overlap):
    async with queue, Scheduler(queue) as scheduler:
        mine = await queue.dispatch(Unique(), queue="scheduled")
        scheduler.cron("a", "* * * * *", Unique(), overlap=overlap)
        clock.advance(60)
        await dispatched(scheduler)
        await drain(queue)
        clock.advance(60)
        await dispatched(scheduler)
        await drain(queue)
    assert ran == [mine.id, "schedule:a:2030-01-01T00:02Z"]
    assert any(line.endswith(f"skipped, as {mine.id} is not finished") for line in said())


@pytest.mark.case("SCH-07", "SCH-11")
async def test_jobs_arrive_on_every_driver(queue, clock):
    async with queue, entries(Scheduler(queue)) as scheduler:
        clock.advance(600)
        await dispatched(scheduler)
        assert await queue.size("scheduled") == 15
        assert await queue.size("recurring") == 10
        assert (await drain(queue)).completed == 25


async def claimed(queue: Queue):
    from asyncqueue.record import Source  # noqa: PLC0415

    (claim,) = (await queue.driver.claim([Source("scheduled")], 1, 3600, "test")).claims
    return claim


async def completed(queue: Queue, claim) -> None:
    from asyncqueue.record import Settlement, State  # noqa: PLC0415

    settlement = Settlement(claim.id, claim.token, State.COMPLETED, claim.attempts, retention=60)
    assert await queue.driver.settle([settlement]) == [True]


def test_a_wrong_clock_is_wrong(clock: Clock):
    assert Wall(clock, 5).time() == clock.time() + 5
