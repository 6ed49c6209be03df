"""Adding entries to a scheduler, and listing them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from asyncqueue import Job, PayloadError, Queue, ScheduleEntry, Scheduler, job
from asyncqueue.testing import Clock, FakeQueue

from .jobs import Mail, Report, Routed

BERLIN = ZoneInfo("Europe/Berlin")


@job(name="count_for_schedules")
async def count(ctx, up_to: int = 3): ...


@pytest.fixture
def scheduler(clock: Clock) -> Scheduler:
    return Scheduler(FakeQueue(clock=clock))


@pytest.mark.case("SCH-05")
def test_entries_are_listed_in_the_order_in_which_they_were_added(scheduler):
    scheduler.cron("zebra", "0 0 * * *", Report())
    scheduler.every("ant", 30, Report())
    scheduler.cron("mule", "@hourly", Report())
    listed = [(entry.name, entry.expression) for entry in scheduler.entries()]
    assert listed == [("zebra", "0 0 * * *"), ("ant", "@every 30s"), ("mule", "@hourly")]


@pytest.mark.case("SCH-05")
def test_what_an_entry_shows(scheduler):
    def make_mail() -> Mail:
        return Mail("ada@example.org")

    scheduler.cron("a", "0 9 * * *", Report(), timezone="Europe/Berlin", overlap=False)
    scheduler.cron("b", "@every 90s", Mail("x"))
    scheduler.cron("c", "@daily", Mail("x"), queue="urgent")
    scheduler.every("d", timedelta(minutes=5), make_mail)
    scheduler.every("e", 0.5, count)
    start = datetime(2030, 1, 1, tzinfo=UTC)
    midnight, soon = start + timedelta(days=1), start + timedelta(seconds=0.5)
    assert scheduler.entries() == [
        ScheduleEntry(
            name="a",
            expression="0 9 * * *",
            timezone="Europe/Berlin",
            queue="scheduled",
            job="ScheduledReport",
            overlap=False,
            next_due=datetime(2030, 1, 1, 9, tzinfo=BERLIN),
        ),
        ScheduleEntry(
            "b", "@every 90s", "UTC", "emails", "ScheduledMail", True, start + timedelta(seconds=90)
        ),
        ScheduleEntry("c", "@daily", "UTC", "urgent", "ScheduledMail", True, midnight),
        ScheduleEntry(
            "d", "@every 300s", "UTC", "recurring", make_mail.__qualname__, True,
            start + timedelta(minutes=5),
        ),
        ScheduleEntry(
            "e", "@every 0.5s", "UTC", "recurring", "count_for_schedules", True, soon
        ),
    ]  # fmt: skip


@pytest.mark.case("SCH-16")
def test_the_times_of_an_entry(scheduler, clock):
    clock.advance(3600)
    scheduler.cron("a", "0 9-10 * * *", Report(), timezone="Europe/Berlin")
    assert scheduler.upcoming("a", 3) == [
        datetime(2030, 1, 1, 9, tzinfo=BERLIN),
        datetime(2030, 1, 1, 10, tzinfo=BERLIN),
        datetime(2030, 1, 2, 9, tzinfo=BERLIN),
    ]
    with pytest.raises(KeyError, match="other"):
        scheduler.upcoming("other")


async def test_a_running_scheduler_shows_for_which_slot_it_waits(scheduler, clock):
    scheduler.every("a", 60, Report())
    async with scheduler:
        clock.advance(50)
        (entry,) = scheduler.entries()
        assert entry.next_due == datetime(2030, 1, 1, 0, 1, tzinfo=UTC)
        assert scheduler.upcoming("a", 2)[1] == datetime(2030, 1, 1, 0, 2, tzinfo=UTC)


@pytest.mark.case("SCH-01")
@pytest.mark.parametrize("expression", ["not-a-cron", "61 * * * *", "@never"])
def test_nothing_is_listed_of_a_malformed_entry(scheduler, expression):
    with pytest.raises(ValueError, match=f'schedule "bad": {expression!r}'.replace("*", r"\*")):
        scheduler.cron("bad", expression, Report())
    assert scheduler.entries() == []


def test_a_name_is_taken_once(scheduler):
    scheduler.cron("a", "@daily", Report())
    with pytest.raises(ValueError, match='schedule "a": there is an entry of this name already'):
        scheduler.every("a", 30, Report())
    assert [entry.expression for entry in scheduler.entries()] == ["@daily"]


@pytest.mark.parametrize("name", ["", "x" * 121, "a\0b", "\ud800"])
def test_names_that_cannot_be(scheduler, name):
    with pytest.raises(ValueError, match="the name of a schedule must be a text of 1 to 120"):
        scheduler.cron(name, "@daily", Report())
    with pytest.raises(TypeError, match="the name of a schedule must be a text, got 5"):
        scheduler.every(5, 30, Report())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "a job or a function that makes one is needed, got None"),
        ("Report", "a job or a function that makes one is needed, got 'Report'"),
        (Routed, "ScheduledRouted is called without arguments to make each job, but .* give a job"),
        (lambda job: job, "<lambda> is called without arguments"),
    ],
)
def test_what_makes_no_job(scheduler, given, reason):
    with pytest.raises(TypeError, match=f'schedule "a": {reason}'):
        scheduler.cron("a", "@daily", given)
    assert scheduler.entries() == []


def test_a_job_that_no_dispatch_would_take_is_refused_at_once(scheduler):
    class Picky(Job, queue=lambda job: 1 / job.divisor, replace=True):
        divisor: int = 0
        anything: object = None

    with pytest.raises(PayloadError, match="Picky"):
        scheduler.cron("a", "@daily", Picky(anything=object()))
    with pytest.raises(ZeroDivisionError):
        scheduler.cron("a", "@daily", Picky())
    assert scheduler.entries() == []


def test_options_that_cannot_be(scheduler):
    with pytest.raises(TypeError, match='schedule "a": queue must be a queue name, got 5'):
        scheduler.cron("a", "@daily", Report(), queue=5)
    with pytest.raises(TypeError, match='schedule "a": overlap must be True or False, got 60'):
        scheduler.cron("a", "@daily", Report(), overlap=60)
    with pytest.raises(ValueError, match='schedule "a": there is no time zone'):
        scheduler.cron("a", "@daily", Report(), timezone="Nowhere")
    with pytest.raises(TypeError, match='schedule "a": the interval must be seconds'):
        scheduler.every("a", "30s", Report())
    assert scheduler.entries() == []


def test_a_scheduler_needs_a_queue():
    with pytest.raises(TypeError, match="needs the Queue to dispatch to, got 'sqlite:///queue.db'"):
        Scheduler("sqlite:///queue.db")


def test_it_says_what_it_is(scheduler):
    scheduler.cron("a", "@daily", Report())
    assert repr(scheduler) == "<Scheduler with 1 entries, stopped>"


def test_making_one_does_no_io(tmp_path):
    scheduler = Scheduler(Queue(f"sqlite:///{tmp_path}/queue.db"))
    scheduler.cron("a", "@daily", Report())
    scheduler.entries()
    assert list(tmp_path.iterdir()) == []
