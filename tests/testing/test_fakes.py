from __future__ import annotations

import asyncio
import math
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from asyncqueue import (
    Context,
    Job,
    JobQueued,
    PayloadError,
    Queue,
    QueueClosed,
    Registry,
    Settings,
    Trace,
    UnknownJob,
    default_queue,
    dispatch,
    dispatch_many,
    dispatch_named,
    exponential,
    job,
    use_trace,
)
from asyncqueue.testing import Clock, FakeQueue, Pushed, as_default, drain, pop

ran: list[str] = []


class FakedMail(Job, queue="emails", max_attempts=5):
    to: str
    extra: Any = None

    async def handle(self, ctx: Context) -> None:
        ran.append(self.to)


class FakedInvoice(Job, unique=True):
    order: int

    async def handle(self, ctx: Context) -> None: ...


@job(queue="reports", name="faked_report")
async def report(ctx: Context, month: int) -> None: ...


@pytest.fixture
def fake() -> FakeQueue:
    ran.clear()
    return FakeQueue()


def message_of(check: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(AssertionError) as failure:
        check(*args, **kwargs)
    return str(failure.value)


@pytest.mark.case("TST-03")
async def test_nothing_runs_and_everything_is_recorded(fake: FakeQueue) -> None:
    await fake.dispatch(FakedMail("a@x"))
    await fake.dispatch(FakedMail("b@x"), queue="slow", delay=60, priority=10)
    await asyncio.sleep(0)
    assert ran == []
    fake.assert_pushed(FakedMail)
    fake.assert_pushed("FakedMail", times=2)
    fake.assert_pushed("*jobs.FakedMail", times=2)
    fake.assert_pushed(FakedMail, on="emails", times=1)
    fake.assert_pushed(FakedMail, where=lambda mail: mail.to == "b@x", on="slow")
    fake.assert_not_pushed(FakedInvoice)
    fake.assert_not_pushed(FakedMail, where=lambda mail: mail.to == "b@x", on="emails")
    fake.assert_not_pushed(FakedMail, on="default")
    first, second = fake.pushed(FakedMail)
    assert (first.queue, first.delay, first.priority, first.max_attempts) == ("emails", 0, 1, 5)
    assert (second.queue, second.delay, second.priority) == ("slow", 60, 10)
    assert fake.pushed()[0].id == first.id


async def test_a_lane_is_asked_for_by_its_name(fake: FakeQueue) -> None:
    await fake.dispatch(FakedMail("a@x"), queue="emails:high")
    fake.assert_pushed(FakedMail, on="emails")
    fake.assert_pushed(FakedMail, on="emails:high")
    fake.assert_not_pushed(FakedMail, on="emails:low")


async def test_every_way_to_dispatch_is_recorded(fake: FakeQueue) -> None:
    await fake.dispatch_many([FakedMail("a@x"), FakedMail("b@x")])
    await fake.dispatch_named("FakedMail", {"to": "c@x"})
    await fake.dispatch(report(month=3))
    await fake.dispatch(FakedMail("d@x"), after_commit=True)
    await fake.dispatch(FakedMail("e@x"), within="a session")
    assert [one.job.to for one in fake.pushed(FakedMail)] == ["a@x", "b@x", "c@x", "d@x", "e@x"]
    assert [one.within for one in fake.pushed()][-1] == "a session"
    fake.assert_pushed(report, where=lambda job: job.month == 3, on="reports", times=1)


async def test_options_are_recorded(fake: FakeQueue) -> None:
    trace = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "")
    with use_trace(trace):
        await fake.dispatch(
            FakedMail("a@x"), id="mine", max_attempts=7, timeout=9, backoff=exponential(2)
        )
    await fake.dispatch(FakedMail("b@x"), timeout=math.inf)
    mine, other = fake.pushed(FakedMail)
    assert (mine.id, mine.max_attempts, mine.timeout) == ("mine", 7, 9)
    assert mine.backoff == exponential(2)
    assert mine.trace == trace
    assert (other.timeout, other.backoff, other.trace) == (math.inf, None, None)


async def test_a_recorded_job_is_what_a_worker_would_get(fake: FakeQueue) -> None:
    sent = FakedMail("a@x", extra={"tags": ["new"]})
    await fake.dispatch(sent)
    sent.extra["tags"].append("changed later")
    (pushed,) = fake.pushed(FakedMail)
    assert pushed.job == FakedMail("a@x", extra={"tags": ["new"]})
    assert pushed.job is not sent


# Rules


@pytest.mark.case("TST-04")
@pytest.mark.parametrize("nothing", [None, 5, "FakedMail", FakedMail])
async def test_it_refuses_what_is_no_job(fake: FakeQueue, nothing: Any) -> None:
    with pytest.raises(TypeError, match="takes a job"):
        await fake.dispatch(nothing)
    fake.assert_nothing_pushed()


@pytest.mark.case("TST-04")
async def test_it_refuses_what_cannot_be_stored(fake: FakeQueue) -> None:
    with pytest.raises(PayloadError, match="FakedMail.extra"):
        await fake.dispatch(FakedMail("a@x", extra=object()))
    with pytest.raises(PayloadError):
        await fake.dispatch_many([FakedMail("a@x"), FakedMail("b@x", extra=object())])
    with pytest.raises(UnknownJob):
        await fake.dispatch_named("NobodyKnows", {})
    fake.assert_nothing_pushed()
    assert await fake.size("emails") == 0


@pytest.mark.case("TST-04")
async def test_it_refuses_a_naive_instant(fake: FakeQueue) -> None:
    with pytest.raises(ValueError, match="time zone"):
        await fake.dispatch(FakedMail("a@x"), at=datetime(2030, 1, 1))  # noqa: DTZ001
    fake.assert_nothing_pushed()


@pytest.mark.case("TST-04")
async def test_a_cancelled_dispatch_is_not_recorded(fake: FakeQueue) -> None:
    async def cancelled_meanwhile() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await fake.dispatch(FakedMail("a@x"))

    never_started = asyncio.create_task(fake.dispatch(FakedMail("a@x")))
    never_started.cancel()
    in_flight = asyncio.create_task(cancelled_meanwhile())
    for task in (never_started, in_flight):
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await fake.dispatch(FakedMail("a@x"))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await fake.dispatch(FakedMail("a@x"))
    fake.assert_nothing_pushed()
    assert await fake.size("emails") == 0


@pytest.mark.case("TST-04", "TST-09")
async def test_a_delayed_job_cannot_be_popped_before_its_time() -> None:
    clock = Clock()
    fake = FakeQueue(clock=clock)
    await fake.dispatch(FakedMail("later@x"), delay=60)
    await fake.dispatch(FakedMail("at@x"), at=clock.now() + timedelta(seconds=90))
    assert [one.delay for one in fake.pushed()] == [60, 90]
    assert await pop(fake, "emails") is None
    clock.advance(59.9)
    assert await pop(fake, "emails") is None
    clock.advance(0.1)
    popped = await pop(fake, "emails")
    assert popped is not None
    assert popped.job == FakedMail("later@x")
    assert await pop(fake, "emails") is None


async def test_duplicates_are_recorded_once(fake: FakeQueue) -> None:
    first = await fake.dispatch(FakedMail("a@x"), id="one")
    again = await fake.dispatch(FakedMail("b@x"), id="one")
    assert (first.duplicate, again.duplicate) == (False, True)
    fake.assert_pushed(FakedMail, times=1)
    unique = [await fake.dispatch(FakedInvoice(1)) for _ in range(3)]
    assert [handle.duplicate for handle in unique] == [False, True, True]
    fake.assert_pushed(FakedInvoice, times=1)


async def test_the_rest_of_a_queue_answers_as_always(fake: FakeQueue) -> None:
    heard: list[JobQueued] = []
    fake.on(JobQueued, heard.append)
    handle = await fake.dispatch(FakedMail("a@x"))
    assert (await handle.status()).state == "pending"
    assert await fake.size("emails") == 1
    assert await handle.cancel() is True
    assert await fake.size("emails") == 0
    assert [event.job_id for event in heard] == [handle.id]
    fake.assert_pushed(FakedMail)
    await fake.close()
    with pytest.raises(QueueClosed):
        await fake.dispatch(FakedMail("b@x"))
    fake.assert_pushed(FakedMail, times=1)


async def test_what_waits_can_be_run(fake: FakeQueue) -> None:
    await fake.dispatch(FakedMail("a@x"))
    assert (await drain(fake)).completed == 1
    assert ran == ["a@x"]
    fake.assert_pushed(FakedMail, times=1)


async def test_recording_can_start_anew(fake: FakeQueue) -> None:
    await fake.dispatch(FakedMail("a@x"))
    fake.forget_pushed()
    fake.assert_nothing_pushed()
    assert await fake.size("emails") == 1


def test_it_needs_no_running_loop_to_be_asked(fake: FakeQueue) -> None:
    asyncio.run(fake.dispatch(FakedMail("a@x")))
    asyncio.run(fake.dispatch(FakedMail("b@x")))
    fake.assert_pushed(FakedMail, times=2)


async def test_settings_and_registry_apply() -> None:
    own = Registry()
    own.register("mail", FakedMail)
    fake = FakeQueue(settings=Settings(default="inbox"), registry=own)
    await fake.dispatch(FakedInvoice(1))
    await fake.dispatch_named("mail", {"to": "a@x"})
    assert [one.queue for one in fake.pushed()] == ["inbox", "emails"]
    fake.assert_pushed("mail")
    fake.assert_pushed(FakedMail)
    with pytest.raises(UnknownJob):
        _ = fake.pushed(FakedInvoice)[0].job
    assert "FakedInvoice {'order': 1}" in message_of(fake.assert_nothing_pushed)


# Messages


@pytest.mark.case("TST-03")
async def test_a_failed_assertion_lists_what_was_pushed(fake: FakeQueue) -> None:
    await fake.dispatch(FakedMail("a@x"))
    await fake.dispatch(report(month=3), delay=60, priority=10)
    listed = (
        "Pushed (2):\n"
        "  FakedMail(to='a@x', extra=None) on \"emails\", max_attempts 5\n"
        '  report(month=3) on "reports", delay 60 s, priority 10'
    )
    assert message_of(fake.assert_pushed, FakedInvoice) == (
        f"FakedInvoice should have been pushed, but was never pushed.\n{listed}"
    )
    assert message_of(fake.assert_pushed, FakedMail, times=2, on="emails") == (
        f'FakedMail on "emails" should have been pushed twice, but was pushed once.\n{listed}'
    )
    assert message_of(fake.assert_pushed, "FakedMail", where=lambda mail: mail.to == "b@x") == (
        f"FakedMail that fits where= should have been pushed, but was never pushed.\n{listed}"
    )
    assert message_of(fake.assert_pushed, report, times=0) == (
        f"faked_report should have been never pushed, but was pushed once.\n{listed}"
    )
    assert message_of(fake.assert_nothing_pushed) == f"Nothing should have been pushed.\n{listed}"
    assert message_of(fake.assert_not_pushed, FakedMail) == (
        "FakedMail should not have been pushed, but was pushed once.\n"
        "Pushed (1):\n  FakedMail(to='a@x', extra=None) on \"emails\", max_attempts 5"
    )


async def test_a_list_of_nothing_and_a_long_list(fake: FakeQueue) -> None:
    assert message_of(fake.assert_pushed, FakedMail).endswith("\nNothing was pushed.")
    await fake.dispatch_many([FakedMail("x" * 500) for _ in range(25)])
    message = message_of(fake.assert_nothing_pushed)
    assert "Pushed (25):" in message
    assert message.endswith("  … and 5 more")
    assert max(map(len, message.splitlines())) < 300


@pytest.mark.parametrize("kind", [5, None, FakedMail("a@x"), int])
async def test_a_kind_is_a_job_class_or_a_name(fake: FakeQueue, kind: Any) -> None:
    with pytest.raises(TypeError, match="job class or the name"):
        fake.assert_pushed(kind)


async def test_everything_is_not_a_kind(fake: FakeQueue) -> None:
    await fake.dispatch(FakedMail("a@x"))
    with pytest.raises(TypeError, match="job class or the name"):
        fake.assert_pushed(None)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="job class or the name"):
        fake.assert_not_pushed(FakedMail("a@x"))  # type: ignore[call-overload]


@pytest.mark.parametrize("times", [-1, True, 1.5, "2"])
async def test_times_is_a_count(fake: FakeQueue, times: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        fake.assert_pushed(FakedMail, times=times)


# The default queue


@pytest.mark.case("TST-02")
async def test_it_can_be_the_default_and_the_former_one_comes_back(fake: FakeQueue) -> None:
    former = Queue("memory://")
    with as_default(former):
        with as_default(fake) as inner:
            assert inner is fake
            await dispatch(FakedMail("a@x"))
            await dispatch_many([FakedMail("b@x")])
            await dispatch_named("FakedMail", {"to": "c@x"})
        assert default_queue() is former
        with pytest.raises(RuntimeError), as_default(fake):
            raise RuntimeError
        assert default_queue() is former
    assert await former.size("emails") == 0
    fake.assert_pushed(FakedMail, times=3)
    assert isinstance(fake.pushed()[0], Pushed)
