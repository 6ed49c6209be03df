"""What a running scheduler dispatches and when, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from asyncqueue import DriverUnavailable, Job, Priority, Queue, Scheduler, current_trace
from asyncqueue.after_commit import collect_after_commit, enclosing_connection
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.schedule import timetable
from asyncqueue.testing import Clock, FakeQueue
from asyncqueue.trace import Trace, use_trace

from .conftest import Wall, dispatched
from .jobs import Mail, Report, Routed


def fired(queue: FakeQueue) -> Counter[str]:
    """How many jobs each entry has dispatched."""
    return Counter(pushed.id.split(":")[1] for pushed in queue.pushed())


@pytest.mark.case("SCH-07")
async def test_a_due_entry_is_dispatched(scheduler, fake, clock, said):
    scheduler.cron("daily-report", "0 0 * * *", Report(7))
    async with scheduler:
        clock.advance(86399)
        await dispatched(scheduler)
        fake.assert_nothing_pushed()
        clock.advance(1)
        await dispatched(scheduler)
        fake.assert_pushed(Report, times=1, on="scheduled", where=lambda job: job.number == 7)
    assert any('"daily-report"' in line for line in said())


@pytest.mark.case("SCH-08")
@pytest.mark.parametrize("step", [60, 300, 3600, 86400])
async def test_usual_expressions_over_a_day(scheduler, fake, clock, step):
    scheduler.cron("day", "0 0 * * *", Report())
    scheduler.cron("hour", "0 * * * *", Report())
    scheduler.cron("minutes", "*/5 * * * *", Report())
    async with scheduler:
        for _ in range(86400 // step):
            clock.advance(step)
            await asyncio.sleep(0)
        await dispatched(scheduler)
    assert fired(fake) == {"day": 1, "hour": 24, "minutes": 288}


@pytest.mark.case("SCH-11")
@pytest.mark.parametrize("begin", [0, 7, 29.999])
async def test_intervals(scheduler, fake, clock, begin):
    clock.advance(begin)
    scheduler.every("health-check", 30, Report())
    scheduler.every("metrics", timedelta(minutes=5), Report())
    async with scheduler:
        clock.advance(29.9)
        await dispatched(scheduler)
        fake.assert_nothing_pushed()
        clock.advance(0.1)
        await dispatched(scheduler)
        assert fired(fake) == {"health-check": 1}
        clock.advance(570)
        await dispatched(scheduler)
    assert fired(fake) == {"health-check": 20, "metrics": 2}
    fake.assert_pushed(Report, times=22, on="recurring")


@pytest.fixture
def in_great_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is moved by hand need not be looked at each minute of a year."""
    monkeypatch.setattr(timetable, "LOOK_EVERY", 30 * 86400.0)


@pytest.mark.case("SCH-02")
@pytest.mark.usefixtures("in_great_steps")
async def test_names_fire_accordingly(scheduler, fake, clock):
    for name in ("@hourly", "@daily", "@weekly", "@monthly"):
        scheduler.cron(name, name, Report())
    async with scheduler:
        clock.advance(timedelta(days=30))
        await dispatched(scheduler)
        scheduler.cron("@every 5m", "@every 5m", Report())
        clock.advance(timedelta(days=1))
        await dispatched(scheduler)
    assert fired(fake) == {
        "@hourly": 31 * 24, "@daily": 31, "@weekly": 4, "@monthly": 1, "@every 5m": 288,
    }  # fmt: skip


@pytest.mark.case("SCH-15", "SCH-02")
@pytest.mark.usefixtures("in_great_steps")
async def test_nine_o_clock_is_nine_o_clock_all_year(scheduler, fake, clock):
    new_york = ZoneInfo("America/New_York")
    times: list[datetime] = []

    def note() -> Report:
        times.append(clock.now().astimezone(new_york))
        return Report()

    scheduler.cron("nine", "0 9 * * *", note, timezone="America/New_York")
    scheduler.cron("nine-utc", "0 9 * * *", Report())
    scheduler.cron("new-year", "@yearly", Report())
    async with scheduler:
        for _ in range(365 * 24):
            clock.advance(3600)
            await asyncio.sleep(0)
        await dispatched(scheduler)
    assert {(time.hour, time.minute) for time in times} == {(9, 0)}
    assert {time.utcoffset() for time in times} == {timedelta(hours=-4), timedelta(hours=-5)}
    assert fired(fake) == {"nine": 365, "nine-utc": 365, "new-year": 1}
    slots = [pushed.id for pushed in fake.pushed() if ":nine-utc:" in pushed.id]
    assert {slot[-6:] for slot in slots} == {"09:00Z"}


@pytest.mark.case("SCH-13")
async def test_a_new_job_each_time(scheduler, fake, clock):
    scheduler.cron("a", "* * * * *", Report(5))
    async with scheduler:
        clock.advance(180)
        await dispatched(scheduler)
    assert len({pushed.id for pushed in fake.pushed()}) == 3
    assert [pushed.job for pushed in fake.pushed(Report)] == [Report(5)] * 3


@pytest.mark.case("SCH-14")
async def test_late_registration(scheduler, fake, clock):
    async with scheduler:
        clock.advance(90)
        scheduler.cron("late", "* * * * *", Report())
        scheduler.every("later", 60, Report())
        clock.advance(29)
        await dispatched(scheduler)
        fake.assert_nothing_pushed()
        clock.advance(1)
        await dispatched(scheduler)
        assert fired(fake) == {"late": 1}
        clock.advance(30)
        await dispatched(scheduler)
        assert fired(fake) == {"late": 1, "later": 1}


@pytest.mark.case("SCH-20")
@pytest.mark.parametrize("seconds", [0, 30, 59.9])
async def test_joining_late_waits_for_the_next_slot(fake, clock, seconds):
    scheduler = Scheduler(fake)
    scheduler.cron("noon", "0 12 * * *", Report())
    clock.advance(12 * 3600 + seconds)
    async with scheduler:
        clock.advance(86400 - seconds - 1)
        await dispatched(scheduler)
        fake.assert_nothing_pushed()
        clock.advance(1)
        await dispatched(scheduler)
        fake.assert_pushed(Report, times=1)


async def test_whatever_came_while_it_was_stopped_is_not_made_up_for(scheduler, fake, clock):
    scheduler.cron("a", "* * * * *", Report())
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
    clock.advance(600)
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
    assert fired(fake) == {"a": 2}


# What is dispatched, and where to


async def test_which_queue_wins(scheduler, fake, clock):
    """What was given, then the job's own, then the default."""
    scheduler.cron("cron", "* * * * *", Report())
    scheduler.every("every", 60, Report())
    scheduler.cron("own", "* * * * *", Mail())
    scheduler.every("own-every", 60, Mail())
    scheduler.cron("by-job", "* * * * *", Routed("north"))
    scheduler.cron("by-nobody", "* * * * *", Routed(""))
    scheduler.cron("given", "* * * * *", Report(), queue="reports")
    scheduler.cron("given-own", "* * * * *", Mail(), queue="reports")
    scheduler.cron("given-default", "* * * * *", Mail(), queue="scheduled"[:])
    scheduler.every("empty", 60, Report(), queue="")
    scheduler.cron("lane", "* * * * *", Mail(), queue="reports:high")
    async with scheduler:
        shown = {entry.name: entry.queue for entry in scheduler.entries()}
        clock.advance(60)
        await dispatched(scheduler)
    found = {pushed.id.split(":")[1]: pushed.queue for pushed in fake.pushed()}
    expected = {
        "cron": "scheduled", "every": "recurring", "own": "emails", "own-every": "emails",
        "by-job": "north", "by-nobody": "scheduled", "given": "reports", "given-own": "reports",
        "given-default": "scheduled", "empty": "recurring", "lane": "reports",
    }  # fmt: skip
    assert found == expected
    assert shown == expected | {"lane": "reports:high"}
    (lane,) = [pushed for pushed in fake.pushed() if ":lane:" in pushed.id]
    assert lane.priority == Priority.HIGH


async def test_functions_make_a_job_for_each_slot(scheduler, fake, clock):
    numbers = iter(range(10))

    async def make() -> Report:
        await asyncio.sleep(0)
        return Report(next(numbers))

    scheduler.cron("plain", "* * * * *", lambda: Report(next(numbers) + 100))
    scheduler.cron("async", "* * * * *", make)
    scheduler.cron("class", "* * * * *", Mail)
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
        clock.advance(60)
        await dispatched(scheduler)
    assert sorted(pushed.job.number for pushed in fake.pushed(Report)) == [1, 3, 100, 102]
    fake.assert_pushed(Mail, times=2)


async def test_nothing_of_where_it_was_started_is_inherited(fake, clock):
    """Neither a transaction, which ended long ago, nor a trace."""
    seen: list[object] = []

    def look() -> Report:
        seen.append((current_trace(), enclosing_connection(fake.driver)))
        return Report()

    scheduler = Scheduler(fake)
    async with collect_after_commit(fake.driver) as waiting:
        waiting.connection = object()
        with use_trace(Trace("0" * 31 + "1", "0" * 15 + "1")):
            await scheduler.start()
            scheduler.cron("a", "* * * * *", look)
            clock.advance(60)
            await dispatched(scheduler)
    await scheduler.stop()
    assert seen == [(None, None)]


# What is said


@pytest.mark.case("SCH-06")
async def test_the_log_of_each_slot(scheduler, clock, said):
    def fail() -> Report:
        raise ValueError("no report today")

    async def slow() -> Report:
        await clock.sleep(2.5)
        return Report()

    scheduler.cron("good", "* * * * *", slow, timezone="Europe/Berlin")
    scheduler.cron("failing", "* * * * *", fail)
    async with scheduler:
        clock.advance(60)
        await asyncio.sleep(0)
        clock.advance(2.5)
        await dispatched(scheduler)
    where = "ScheduledReport schedule:good:2030-01-01T00:01Z on queue scheduled"
    assert [line for line in said() if '"good"' in line] == [
        'INFO Schedule "good" started for 2030-01-01 01:01:00+01:00',
        f'INFO Schedule "good" completed in 2.500 s: {where}',
    ]
    assert [line for line in said() if '"failing"' in line] == [
        'INFO Schedule "failing" started for 2030-01-01 00:01:00+00:00',
        'ERROR Schedule "failing" failed after 0.000 s: ValueError: no report today',
    ]


async def test_log_records_name_the_entry_and_the_slot(scheduler, clock, caplog):
    caplog.set_level("INFO", "asyncqueue.schedule")
    scheduler.cron("a", "* * * * *", Report())
    scheduler.cron("b", "* * * * *", lambda: 1 / 0)
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
    facts = {
        (record.schedule, record.slot, record.exc_info is not None)
        for record in caplog.records
        if hasattr(record, "slot")
    }
    assert facts == {
        ("a", "schedule:a:2030-01-01T00:01Z", False),
        ("b", "schedule:b:2030-01-01T00:01Z", False),
        ("b", "schedule:b:2030-01-01T00:01Z", True),
    }


@pytest.mark.parametrize("made", [None, "Report", Report])
async def test_a_function_that_makes_no_job(scheduler, fake, clock, said, made):
    scheduler.cron("a", "* * * * *", lambda: made)
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
    assert f"must return a job, got {made!r}" in said()[-2]
    fake.assert_nothing_pushed()


# Entries do not disturb each other


@pytest.mark.case("SCH-03")
@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError(), TimeoutError()])
async def test_one_that_fails_every_time_is_tried_every_time(scheduler, fake, clock, error):
    tried: list[int] = []

    async def fail() -> Report:
        tried.append(1)
        raise error

    scheduler.cron("failing", "* * * * *", fail)
    scheduler.cron("good", "* * * * *", Report())
    async with scheduler:
        for _ in range(4):
            clock.advance(60)
            await dispatched(scheduler)
    assert len(tried) == 4
    assert fired(fake) == {"good": 4}


@pytest.mark.case("SCH-09")
async def test_one_that_is_slow_delays_no_other(scheduler, fake, clock):
    let_go = asyncio.Event()

    async def slow() -> Report:
        await let_go.wait()
        return Report()

    scheduler.cron("slow", "* * * * *", slow)
    scheduler.cron("quick", "* * * * *", Mail())
    async with scheduler:
        for _ in range(3):
            clock.advance(60)
            for _ in range(5):
                await asyncio.sleep(0)
        assert fired(fake) == {"quick": 3}
        let_go.set()
        await dispatched(scheduler)
        assert fired(fake) == {"quick": 3, "slow": 3}


class Sluggish(MemoryDriver):
    """Takes its time over one queue, and does not answer for another."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.let_go = asyncio.Event()

    async def enqueue(self, records, *, within=None):
        if records[0].queue == "slow":
            await self.let_go.wait()
        if records[0].queue == "away":
            raise DriverUnavailable("nothing answers")
        return await super().enqueue(records, within=within)


@pytest.mark.case("SCH-09")
async def test_a_dispatch_that_is_slow_or_fails_delays_no_other(clock):
    driver = Sluggish(clock)
    async with Queue(driver) as queue, Scheduler(queue) as scheduler:
        scheduler.cron("slow", "* * * * *", Report(), queue="slow")
        scheduler.cron("away", "* * * * *", Report(), queue="away")
        scheduler.cron("quick", "* * * * *", Report())
        for minute in (1, 2, 3):
            clock.advance(60)
            for _ in range(8):
                await asyncio.sleep(0)
            assert await queue.size("scheduled") == minute
        driver.let_go.set()
        for _ in range(8):
            await asyncio.sleep(0)
        assert await queue.size("slow") == 3


# Late slots


class Frail(MemoryDriver):
    """A store that is away while ``away`` is set. What it was told is stored all the same."""

    away = False
    stores_anyway = False
    calls = 0

    async def enqueue(self, records, *, within=None):
        self.calls += 1
        if self.away:
            if self.stores_anyway:
                await super().enqueue(records, within=within)
            raise DriverUnavailable("nothing answers")
        return await super().enqueue(records, within=within)


@pytest.mark.parametrize("stores_anyway", [False, True])
async def test_a_store_that_is_away_is_waited_for(clock, said, stores_anyway):
    driver = Frail(clock=clock)
    driver.stores_anyway = stores_anyway
    async with Queue(driver) as queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "0 * * * *", Report())
        clock.advance(3599)
        driver.away = True
        for _ in range(300):
            clock.advance(1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        driver.away = False
        tries = driver.calls
        for _ in range(30):
            clock.advance(1)
            await asyncio.sleep(0)
        await dispatched(scheduler)
        assert 10 <= tries <= 20
        assert await queue.size("scheduled") == 1
    lines = [line for line in said() if '"a"' in line]
    assert [line.partition(":")[0].split()[0] for line in lines] == ["INFO", "WARNING", "INFO"]
    assert 'WARNING Schedule "a" cannot reach the store, trying again: nothing answers' in lines


async def test_a_store_that_is_away_for_longer_costs_the_slot(clock, said):
    driver = Frail(clock=clock)
    async with Queue(driver) as queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "0 * * * *", Report())
        driver.away = True
        clock.advance(3600)
        for _ in range(700):
            clock.advance(1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        driver.away = False
        assert not scheduler._firings
        assert await queue.size("scheduled") == 0
        clock.advance(2900)
        await dispatched(scheduler)
        assert await queue.size("scheduled") == 1
    (failed,) = [line for line in said() if line.startswith("ERROR")]
    assert 'Schedule "a" failed after' in failed
    assert "DriverUnavailable: nothing answers" in failed


async def test_of_several_slots_in_an_outage_the_latest_is_dispatched(clock, said):
    driver = Frail(clock=clock)
    async with Queue(driver) as queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "* * * * *", Report())
        driver.away = True
        for _ in range(200):
            clock.advance(1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        driver.away = False
        for _ in range(35):
            clock.advance(1)
            await asyncio.sleep(0)
        await dispatched(scheduler)
        page = await queue.jobs(queue="scheduled")
        assert [info.id for info in page.items] == ["schedule:a:2030-01-01T00:03Z"]
    assert len([line for line in said() if line.startswith("ERROR")]) == 2


async def test_a_stop_does_not_wait_for_a_store_that_is_away(clock):
    driver = Frail(clock=clock)
    driver.away = True
    async with Queue(driver) as queue:
        scheduler = Scheduler(queue)
        scheduler.cron("a", "* * * * *", Report())
        await scheduler.start()
        clock.advance(60)
        for _ in range(5):
            await asyncio.sleep(0)
        assert scheduler._firings
        async with asyncio.timeout(10):
            await scheduler.stop()
        driver.away = False
        clock.advance(600)
        await dispatched(scheduler)
        assert await queue.size("scheduled") == 0


@pytest.fixture
def wall(clock: Clock) -> Wall:
    return Wall(clock)


@pytest.fixture
def on_wall(wall: Wall) -> FakeQueue:
    return FakeQueue(clock=wall)


async def test_a_process_that_stood_still_dispatches_the_latest_slot(on_wall, wall, clock, said):
    async with on_wall, Scheduler(on_wall) as scheduler:
        scheduler.cron("minutely", "* * * * *", Report())
        scheduler.cron("hourly", "@hourly", Report())
        scheduler.cron("daily", "0 1 * * *", Report())
        wall.ahead = 3600 + 299  # Timers of a suspended machine stand still.
        clock.advance(60)
        await dispatched(scheduler)
        assert sorted(pushed.id for pushed in on_wall.pushed()) == [
            "schedule:minutely:2030-01-01T01:05Z",
        ]
        wall.ahead -= 60
    missed = [line for line in said() if "missed" in line]
    assert (
        'WARNING Schedule "minutely" missed its slots from 2030-01-01 00:01:00+00:00 on: '
        in (missed[0])
    )
    assert len(missed) == 3


async def test_a_short_standstill_costs_nothing(on_wall, wall, clock):
    async with on_wall, Scheduler(on_wall) as scheduler:
        scheduler.cron("hourly", "@hourly", Report())
        clock.advance(3500)
        wall.ahead = 300
        clock.advance(60)
        await dispatched(scheduler)
        on_wall.assert_pushed(Report, times=1)


async def test_a_clock_that_is_set_back_repeats_nothing_and_goes_on(on_wall, wall, clock, said):
    async with on_wall, Scheduler(on_wall) as scheduler:
        scheduler.cron("a", "*/5 * * * *", Report())
        scheduler.every("b", 300, Report())
        clock.advance(3600)
        await dispatched(scheduler)
        assert fired(on_wall) == {"a": 12, "b": 12}
        wall.ahead = -1800
        clock.advance(1800)
        await dispatched(scheduler)
        assert fired(on_wall) == {"a": 12, "b": 12}
        clock.advance(3600)
        await dispatched(scheduler)
        assert fired(on_wall) == {"a": 24, "b": 23}  # Its next turn is at 02:01.
    assert any("The clock was set back by" in line for line in said())


async def test_a_clock_that_is_wrong_by_ages_ends_nothing(on_wall, wall, clock):
    """For a moment it shows a year in which calendars end."""
    scheduler = Scheduler(on_wall)
    scheduler.cron("a", "*/10 * * * *", Report())
    scheduler.every("b", 600, Report())
    async with scheduler:
        for ahead in (251e9, 0.0, 1e15, 0.0):
            wall.ahead = ahead
            clock.advance(60)
            await dispatched(scheduler)
        on_wall.forget_pushed()
        clock.advance(600)
        await dispatched(scheduler)
    assert fired(on_wall) == {"a": 1, "b": 1}


async def test_the_noise_of_a_clock_is_no_set_back(on_wall, wall, clock, said):
    async with on_wall, Scheduler(on_wall) as scheduler:
        scheduler.every("b", 30, Report())
        for _ in range(20):
            clock.advance(30)
            wall.ahead -= 0.01
            await dispatched(scheduler)
        clock.advance(0.2)
        await dispatched(scheduler)
        assert fired(on_wall) == {"b": 20}
    assert not any("set back" in line for line in said())


async def test_what_took_too_long_to_be_made_is_not_dispatched(scheduler, fake, clock, said):
    """By then another process may have dispatched it, and its record may be gone."""

    async def make() -> Report:
        (firing,) = scheduler._firings.values()
        firing._noted_at -= 306  # The machine was asleep while this was running.
        return Report()

    scheduler.cron("a", "* * * * *", make)
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
    fake.assert_nothing_pushed()
    assert any("TimeoutError: it could not be dispatched within 300 s" in s for s in said())


async def test_a_slot_that_was_late_when_it_was_noted_has_less_time(on_wall, wall, clock, said):
    async def make() -> Report:
        (firing,) = scheduler._firings.values()
        firing._noted_at -= 50  # Alone not too long.
        return Report()

    async with on_wall, Scheduler(on_wall) as scheduler:
        scheduler.cron("hourly", "@hourly", make)
        clock.advance(3500)
        wall.ahead = 330  # Some 270 seconds late: timers of a suspended machine stand still.
        clock.advance(60)
        await dispatched(scheduler)
    on_wall.assert_nothing_pushed()
    assert any("TimeoutError: it could not be dispatched within 300 s" in s for s in said())


async def test_a_function_has_its_time(scheduler, fake, clock, said, monkeypatch):
    monkeypatch.setattr("asyncqueue.schedule.firing.GRACE", 0.01)
    scheduler.cron("a", "* * * * *", lambda: asyncio.Event().wait())
    async with scheduler:
        clock.advance(60)
        await dispatched(scheduler)
    assert any("TimeoutError: its job was not made within 0 s" in line for line in said())
    fake.assert_nothing_pushed()


# On the sync driver the job runs here


@pytest.mark.case("SCH-03", "SCH-06")
async def test_jobs_of_the_sync_driver_run_when_they_are_due(clock, said):
    ran: list[str] = []

    class Works(Job, replace=True):
        async def handle(self, ctx):
            ran.append(ctx.queue)

    class Breaks(Job, replace=True):
        async def handle(self, ctx):
            raise ValueError("broken")

    async with Queue("sync://", clock=clock) as queue, Scheduler(queue) as scheduler:
        scheduler.cron("works", "* * * * *", Works())
        scheduler.cron("breaks", "* * * * *", Breaks())
        for _ in range(3):
            clock.advance(60)
            await dispatched(scheduler)
    assert ran == ["scheduled"] * 3
    lines = said()
    assert (
        len([line for line in lines if "failed after" in line and "ValueError: broken" in line])
        == 3
    )
    assert len([line for line in lines if 'INFO Schedule "works" completed in' in line]) == 3


@pytest.mark.case("SCH-18")
async def test_runs_on_the_sync_driver_do_not_overlap(clock, said):
    let_go, ran = asyncio.Event(), []

    class Slow(Job, replace=True, timeout=3600):
        async def handle(self, ctx):
            ran.append(ctx.job_id)
            await let_go.wait()

    async with Queue("sync://", clock=clock) as queue, Scheduler(queue) as scheduler:
        scheduler.cron("a", "* * * * *", Slow(), overlap=False)
        for _ in range(3):
            clock.advance(60)
            for _ in range(8):
                await asyncio.sleep(0)
        assert len(ran) == 1
        let_go.set()
        await dispatched(scheduler)
        clock.advance(60)
        await dispatched(scheduler)
        assert len(ran) == 2
    assert len([line for line in said() if "skipped: its last run is still" in line]) == 2


def test_the_start_of_the_clock_is_what_these_tests_suppose():
    assert Clock().now() == datetime(2030, 1, 1, tzinfo=UTC)
