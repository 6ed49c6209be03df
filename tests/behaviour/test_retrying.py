"""How often a job runs, when it runs again, and what happens when it may not any more."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from functools import partial

import pytest

from asyncqueue import (
    Context,
    Fail,
    Job,
    JobFailed,
    JobFailedError,
    JobNotFound,
    JobProcessed,
    JobProcessing,
    JobReleased,
    JobRetrying,
    Retry,
    Snooze,
    State,
    exponential,
    fixed,
    linear,
)

from ..recorder import PATIENCE, until


@pytest.fixture
def make_worker(make_worker):
    """These tests jump over leases."""
    return partial(make_worker, lease=1_000_000)


async def run_to_the_end(worker, clock, events, step=1000):
    """Let the worker run until the only job is finished; answers the waits between its runs."""

    def went_back():
        return len(events.of(JobRetrying)) + len(events.of(JobReleased))

    def finished():
        return events.of(JobFailed) or events.of(JobProcessed)

    times = 0
    async with worker:
        while not finished():
            await until(lambda before=times: finished() or went_back() > before)
            times = went_back()
            clock.advance(step)
    return [event.delay for event in events.of(JobRetrying)]


def breaking(**options):
    class Breaks(Job, replace=True, **options):
        async def handle(self, ctx: Context) -> None:
            raise ValueError(f"broken in attempt {ctx.attempt}")

    return Breaks


# Budgets


@pytest.mark.case("RTY-02", "RTY-03", "RTY-04", "RTY-18", "WRK-04")
@pytest.mark.parametrize(
    ("worker", "job", "given", "runs"),
    [
        (None, {}, None, 3),
        (10, {"max_attempts": 2}, None, 2),
        (3, {"max_attempts": 10}, None, 10),
        (3, {"max_attempts": 10}, 4, 4),
        (3, {"max_attempts": 1}, None, 1),
        (3, {"max_attempts": 0}, None, 1),
        (0, {}, None, 1),
        (5, {}, 0, 1),
        (1, {"max_retries": 3}, None, 4),
        (3, {"max_retries": 0}, None, 1),
    ],
)
async def test_how_often_a_job_runs(queue, make_worker, clock, events, worker, job, given, runs):
    handle = await queue.dispatch(breaking(**job)(), max_attempts=given)
    await run_to_the_end(make_worker(max_attempts=worker), clock, events)
    assert len(events.of(JobProcessing)) == runs
    assert [event.attempt for event in events.of(JobRetrying)] == list(range(1, runs))
    (failed,) = events.of(JobFailed)
    assert (failed.attempt, failed.max_attempts) == (runs, runs)
    record = await queue.failed.get(handle.id)
    assert record.attempts == runs
    assert record.error == f"ValueError: broken in attempt {runs}"
    assert "raise ValueError" in record.traceback


@pytest.mark.case("RTY-14", "RTY-15", "RTY-26")
async def test_attempts_outlive_workers_and_are_shared_by_them(queue, make_worker, clock, events):
    seen = []

    class Breaks(Job):
        data: list[int]

        async def handle(self, ctx: Context) -> None:
            seen.append((ctx.attempt, list(self.data)))
            self.data.append(99)
            raise ValueError

    await queue.dispatch(Breaks([1]), max_attempts=3, backoff=0)
    for _ in range(2):
        async with make_worker(max_jobs=1) as worker:
            await worker.run()
    async with make_worker(), make_worker():
        await events.wait_for(JobFailed)
    assert seen == [(1, [1]), (2, [1]), (3, [1])]


@pytest.mark.case("RTY-22")
async def test_third_time_lucky(queue, make_worker, clock, events):
    class Lucky(Job, max_attempts=5):
        async def handle(self, ctx: Context) -> int:
            if ctx.attempt < 3:
                raise ValueError
            return ctx.attempt

    handle = await queue.dispatch(Lucky())
    await run_to_the_end(make_worker(), clock, events)
    assert await handle.result() == 3
    assert (await queue.failed.list()).total == 0


@pytest.mark.case("RTY-12")
async def test_only_transient_errors_are_retried(queue, make_worker, clock, events):
    class Webhook(Job, max_attempts=8):
        async def handle(self, ctx: Context) -> None:
            raise ConnectionError if ctx.attempt < 3 else KeyError(404)

        def should_retry(self, error: Exception) -> bool:
            return isinstance(error, ConnectionError)

    await queue.dispatch(Webhook())
    await run_to_the_end(make_worker(), clock, events)
    assert len(events.of(JobProcessing)) == 3
    assert isinstance(events.of(JobFailed)[0].error, KeyError)


@pytest.mark.case("RTY-11")
async def test_should_retry_cannot_outrank_the_budget(queue, make_worker, clock, events):
    class Keen(Job, max_attempts=2):
        async def handle(self, ctx: Context) -> None:
            raise ValueError

        def should_retry(self, error: Exception) -> bool:
            return True

    await queue.dispatch(Keen())
    await run_to_the_end(make_worker(), clock, events)
    assert len(events.of(JobProcessing)) == 2


@pytest.mark.parametrize("raised", [ValueError(), SystemExit(), asyncio.CancelledError()], ids=repr)
async def test_a_should_retry_that_raises_does_not_stop_the_retry(
    queue, make_worker, clock, events, raised
):
    class Broken(Job, max_attempts=2):
        async def handle(self, ctx: Context) -> None:
            raise ValueError

        def should_retry(self, error: Exception) -> bool:
            raise raised

    await queue.dispatch(Broken())
    await run_to_the_end(make_worker(), clock, events)
    assert len(events.of(JobProcessing)) == 2


@pytest.mark.case("RTY-31")
async def test_retry_until_outranks_the_count(queue, make_worker, clock, events):
    await queue.dispatch(breaking(max_attempts=1, retry_until=600, backoff=100)())
    await run_to_the_end(make_worker(), clock, events, step=100)
    assert len(events.of(JobProcessing)) == 7


@pytest.mark.case("RTY-32")
async def test_raised_errors_are_counted_apart_from_releases(queue, make_worker, clock, events):
    class Both(Job, max_attempts=25, max_exceptions=3):
        async def handle(self, ctx: Context) -> None:
            if ctx.attempt % 2:
                raise Retry(1)
            raise ValueError

    await queue.dispatch(Both())
    await run_to_the_end(make_worker(), clock, events)
    assert len(events.of(JobProcessing)) == 6
    assert len(events.of(JobReleased)) == 3


# Waits


@pytest.mark.case("RTY-05", "RTY-06", "RTY-07", "RTY-08", "RTY-09", "RTY-19", "WRK-08")
@pytest.mark.parametrize(
    ("worker", "job", "given", "waits"),
    [
        (None, {}, None, [1, 2, 4, 8, 16, 32]),
        (30, {}, None, [30] * 6),
        (fixed(4), {}, None, [4] * 6),
        (linear(3, 10), {}, None, [3, 6, 9, 10, 10, 10]),
        (exponential(2, 10), {}, None, [2, 4, 8, 10, 10, 10]),
        (30, {"backoff": [1, 5, 30, 120]}, None, [1, 5, 30, 120, 120, 120]),
        (30, {"backoff": []}, None, [30] * 6),
        (30, {"backoff": timedelta(minutes=1)}, None, [60] * 6),
        (30, {"backoff": 7}, [1, 2], [1, 2, 2, 2, 2, 2]),
        (30, {"backoff": lambda job, attempt, error: attempt * 10}, None, [10, 20, 30, 40, 50, 60]),
        (lambda job, attempt, error: 3, {}, None, [3] * 6),
        (30, {"backoff": lambda *_: 1 / 0}, None, [30] * 6),
        (lambda *_: 1 / 0, {}, None, [1, 2, 4, 8, 16, 32]),
        (30, {"backoff": lambda *_: None}, None, [30] * 6),
        (30, {"backoff": lambda *_: math.nan}, None, [30] * 6),
        (30, {"backoff": lambda *_: math.inf}, None, [30] * 6),
        (30, {"backoff": lambda *_: -5}, None, [0] * 6),
        (30, {"backoff": lambda *_: timedelta(seconds=9)}, None, [9] * 6),
    ],
)
async def test_whose_waits_are_used(queue, make_worker, clock, events, worker, job, given, waits):
    await queue.dispatch(breaking(**job)(), backoff=given, max_attempts=7)
    assert await run_to_the_end(make_worker(backoff=worker), clock, events) == waits


@pytest.mark.case("DSP-16")
async def test_a_list_of_waits_at_dispatch_says_how_often_too(queue, make_worker, clock, events):
    await queue.dispatch(breaking()(), backoff=[5, 30, 120])
    assert await run_to_the_end(make_worker(), clock, events) == [5, 30, 120]
    assert len(events.of(JobProcessing)) == 4


@pytest.mark.case("RTY-24")
async def test_the_last_error_decides_the_wait(queue, make_worker, clock, events):
    def wait(job, attempt, error):
        return 300 if isinstance(error, ConnectionError) else attempt

    class Choosy(Job, backoff=wait, max_attempts=4):
        async def handle(self, ctx: Context) -> None:
            raise ConnectionError if ctx.attempt == 2 else ValueError

    await queue.dispatch(Choosy())
    assert await run_to_the_end(make_worker(), clock, events) == [1, 300, 3]


@pytest.mark.case("RTY-17", "RTY-20")
async def test_a_retried_job_waits_where_it_came_from(queue, make_worker, clock, events):
    handle = await queue.dispatch(breaking(queue="own", backoff=60)(), queue="given")
    async with make_worker("given"):
        await events.wait_for(JobRetrying)
    info = await handle.status()
    assert (info.state, info.queue, info.attempts) == (State.DELAYED, "given", 1)
    assert info.available_at == clock.now() + timedelta(seconds=60)
    assert info.worker is None


# What a handler decides itself


@pytest.mark.case("RTY-29")
async def test_a_release_counts_the_attempt_and_a_snooze_does_not(
    queue, make_worker, clock, events
):
    attempts = []

    class Decides(Job, max_attempts=3):
        async def handle(self, ctx: Context) -> None:
            attempts.append(ctx.attempt)
            if len(attempts) < 4:
                raise Snooze(10)
            if len(attempts) == 4:
                raise Retry(timedelta(seconds=20))

    handle = await queue.dispatch(Decides())
    await run_to_the_end(make_worker(), clock, events)
    assert attempts == [1, 1, 1, 1, 2]
    assert [event.delay for event in events.of(JobReleased)] == [10, 10, 10, 20]
    assert events.of(JobRetrying) == []
    assert (await handle.status()).state is State.COMPLETED


@pytest.mark.case("RTY-29")
@pytest.mark.parametrize(("asked", "attempts"), [(Snooze(10), 0), (Retry(10), 1)])
async def test_a_released_job_is_due_after_its_delay(
    queue, make_worker, clock, events, asked, attempts
):
    class Releases(Job):
        async def handle(self, ctx: Context) -> None:
            raise asked

    handle = await queue.dispatch(Releases())
    async with make_worker():
        await events.wait_for(JobReleased)
    info = await handle.status()
    assert (info.state, info.attempts) == (State.DELAYED, attempts)
    assert info.available_at - clock.now() == timedelta(seconds=10)


async def test_retry_without_a_delay_uses_the_backoff(queue, make_worker, events):
    class Again(Job, backoff=42):
        async def handle(self, ctx: Context) -> None:
            raise Retry

    await queue.dispatch(Again())
    async with make_worker():
        (released,) = await events.wait_for(JobReleased)
    assert released.delay == 42


async def test_retry_on_the_last_attempt_fails(queue, make_worker, clock, events):
    class Again(Job, max_attempts=2):
        async def handle(self, ctx: Context) -> None:
            raise Retry(1)

    await queue.dispatch(Again())
    await run_to_the_end(make_worker(), clock, events)
    assert len(events.of(JobFailed)) == 1


@pytest.mark.case("RTY-30")
@pytest.mark.parametrize("reason", ["not today", ValueError("not today")], ids=["text", "error"])
async def test_a_handler_can_fail_its_job_for_good(queue, make_worker, events, reason):
    hooked, runs = [], []

    class Fails(Job, max_attempts=5):
        async def handle(self, ctx: Context) -> None:
            runs.append(ctx.attempt)
            raise Fail(reason)

        async def failed(self, ctx: Context, error: BaseException) -> None:
            hooked.append(error)

    handle = await queue.dispatch(Fails())
    async with make_worker():
        await until(lambda: hooked)
    assert "not today" in (await queue.failed.get(handle.id)).error
    assert runs == [1]
    if isinstance(reason, ValueError):
        assert hooked == [reason]


# The hook


@pytest.mark.case("FLD-01", "FLD-03", "FLD-04", "FLD-16")
@pytest.mark.parametrize("plain", [True, False])
async def test_the_hook_is_called_once_after_the_record_is_stored(
    queue, make_worker, events, plain
):
    seen = []

    async def look(self, ctx, error):
        record = await queue.failed.get(ctx.job_id)
        seen.append((ctx.attempt, str(error), record.error))

    def look_plain(self, ctx, error):
        seen.append((ctx.attempt, str(error), "ValueError: 3"))

    class Breaks(Job, backoff=0):
        async def handle(self, ctx: Context) -> None:
            raise ValueError(ctx.attempt)

        failed = look_plain if plain else look

    await queue.dispatch(Breaks())
    async with make_worker():
        await until(lambda: seen)
        await events.wait_for(JobFailed)
    assert seen == [(3, "3", "ValueError: 3")]


@pytest.mark.parametrize("raised", [ValueError("hook"), SystemExit(2)], ids=repr)
async def test_a_hook_that_raises_changes_nothing(queue, make_worker, events, caplog, raised):
    class Breaks(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise KeyError("first")

        async def failed(self, ctx: Context, error: BaseException) -> None:
            raise raised

    handle = await queue.dispatch(Breaks())
    async with make_worker() as worker:
        await until(lambda: "failed raised" in caplog.text)
        assert worker.running
    assert "KeyError" in (await queue.failed.get(handle.id)).error


# The failed store


async def fail(queue, make_worker, events, *jobs):
    """Let these jobs fail, one after the other; answers their ids."""
    before = len(events.of(JobFailed))
    ids = [(await queue.dispatch(job, max_attempts=1)).id for job in jobs]
    async with make_worker(["emails", "reports", "default"], concurrency=1):
        await events.wait_for(JobFailed, before + len(jobs))
    return ids


def failing(**options):
    class Failing(Job, replace=True, **options):
        n: int = 0

        async def handle(self, ctx: Context) -> None:
            raise ValueError(self.n)

    return Failing


@pytest.mark.case("FLD-08", "FLD-09", "FLD-10")
async def test_a_record_tells_what_happened(queue, make_worker, clock, events):
    (job_id,) = await fail(queue, make_worker, events, failing(queue="reports")(7))
    record = await queue.failed.get(job_id)
    assert (record.id, record.queue, record.name) == (job_id, "reports", "Failing")
    assert (record.payload, record.attempts) == ({"n": 7}, 1)
    assert record.error == "ValueError: 7"
    assert "raise ValueError(self.n)" in record.traceback
    assert record.failed_at == record.last_attempt_at == clock.now()
    assert await queue.size("reports") == 0
    assert (await queue.failed.list()).total == 1
    info = await queue.status(job_id)
    assert (info.state, info.finished_at) == (State.FAILED, clock.now())


@pytest.mark.case("FLD-11")
async def test_records_come_newest_first_in_pages_with_the_real_total(
    queue, make_worker, clock, events
):
    job = failing()
    ids = []
    for n in range(7):
        ids += await fail(queue, make_worker, events, job(n))
        clock.advance(1)
    pages = [await queue.failed.list(limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [page.total for page in pages] == [7] * 4
    assert [item.id for page in pages for item in page.items] == ids[::-1]


@pytest.mark.case("FLD-12", "FLD-13")
async def test_a_retried_record_is_a_fresh_job(queue, make_worker, clock, events):
    (job_id,) = await fail(queue, make_worker, events, failing(queue="emails", backoff=0)(5))
    await queue.failed.retry(job_id)
    assert (await queue.failed.list()).total == 0
    info = await queue.status(job_id)
    assert (info.state, info.queue, info.attempts, info.error) == (
        State.PENDING,
        "emails",
        0,
        None,
    )
    with pytest.raises(JobNotFound):
        await queue.failed.retry(job_id)
    with pytest.raises(JobNotFound):
        await queue.failed.retry("unknown")
    async with make_worker("emails"):
        await events.wait_for(JobFailed, 2)
    assert (await queue.failed.get(job_id)).attempts == 1


@pytest.mark.case("FLD-17")
async def test_retry_until_begins_anew_with_a_retried_record(queue, make_worker, clock, events):
    await queue.dispatch(breaking(retry_until=100, backoff=30)())
    async with make_worker():
        for count in range(1, 5):
            await until(lambda n=count: len(events.of(JobProcessing)) == n)
            await until(
                lambda n=count: len(events.of(JobRetrying)) + len(events.of(JobFailed)) == n
            )
            clock.advance(30)
        await events.wait_for(JobFailed)
        clock.advance(5000)
        await queue.failed.retry_all()
        await events.wait_for(JobRetrying, 4)
    assert len(events.of(JobFailed)) == 1


@pytest.mark.case("FLD-18")
async def test_many_records_are_retried_by_queue_and_name(queue, make_worker, events):
    emails, reports = failing(queue="emails"), failing(queue="reports")

    class Other(Job, queue="emails"):
        async def handle(self, ctx: Context) -> None:
            raise ValueError

    await fail(queue, make_worker, events, emails(), reports(), Other(), reports())
    assert await queue.failed.retry_all(queue="reports", name="Other") == 0
    assert await queue.failed.retry_all(queue="reports") == 2
    assert await queue.failed.retry_all(name="Other") == 1
    assert await queue.failed.retry_all() == 1
    assert await queue.failed.retry_all() == 0
    assert (await queue.size("emails"), await queue.size("reports")) == (2, 2)


@pytest.mark.case("FLD-19")
async def test_records_are_forgotten_flushed_and_pruned(queue, make_worker, clock, events):
    job = failing()
    hour = 3600
    (oldest,) = await fail(queue, make_worker, events, job(0))
    clock.advance(25 * hour)
    old, older = await fail(queue, make_worker, events, job(1), job(2))
    clock.advance(25 * hour)
    (new,) = await fail(queue, make_worker, events, job(3))
    await queue.failed.forget(older)
    with pytest.raises(JobNotFound):
        await queue.failed.forget(older)
    assert await queue.failed.flush(timedelta(hours=48)) == 1
    assert {item.id for item in (await queue.failed.list()).items} == {old, new}
    assert await queue.failed.prune(24 * hour) == 1
    assert {item.id for item in (await queue.failed.list()).items} == {new}
    assert await queue.failed.flush() == 1
    with pytest.raises(JobNotFound):
        await queue.failed.get(oldest)


@pytest.mark.case("MON-02", "MON-03")
async def test_clearing_a_queue_leaves_failed_records_alone(queue, make_worker, events):
    await fail(queue, make_worker, events, failing()())
    job = failing()
    for name, delay in (("failed", 0), ("failed", 60), ("emails", 0)):
        await queue.dispatch(job(), queue=name, delay=delay)
    assert await queue.clear("failed") == 2
    assert await queue.clear("failed") == 0
    assert (await queue.size("failed"), await queue.size("emails")) == (0, 1)
    assert (await queue.failed.list()).total == 1


async def test_a_failed_job_gives_its_error_to_who_waits_for_it(queue, make_worker):

    handle = await queue.dispatch(breaking()(), max_attempts=1)
    async with make_worker():
        with pytest.raises(JobFailedError, match="broken in attempt 1"):
            await handle.result(PATIENCE)


async def test_a_retry_that_is_not_granted_fails_with_what_asked_for_it(
    queue, make_worker, events, caplog
):
    """The failed store shows the error behind the ``Retry``, and where it was raised."""
    hooked = []

    class Asks(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            try:
                {}["behind it"]
            except KeyError as error:
                raise Retry(1) from error

        async def failed(self, ctx: Context, error: BaseException) -> None:
            hooked.append(error)

    handle = await queue.dispatch(Asks())
    await make_worker(stop_when_empty=True).run()
    failed = await queue.failed.get(handle.id)
    assert failed.error == "KeyError: 'behind it'"
    assert "in handle" in failed.traceback
    (told,) = events.of(JobFailed)
    assert isinstance(told.error, KeyError)
    assert [type(error) for error in hooked] == [KeyError]
    assert "failed for good: KeyError" in caplog.text


@pytest.mark.parametrize(("asks", "told"), [(Retry, "asked to run again"), (Snooze, "snoozes")])
async def test_an_attempt_that_asks_to_run_again_has_its_line_in_the_log(
    queue, make_worker, caplog, asks, told
):
    class Asks(Job):
        async def handle(self, ctx: Context) -> None:
            raise asks(60)

    caplog.set_level("INFO")
    await queue.dispatch(Asks())
    await make_worker(max_jobs=1).run()
    assert f"{told} in 60 s" in caplog.text
