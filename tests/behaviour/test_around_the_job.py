"""Events, middleware, services, results, traces: what surrounds a handler."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from asyncqueue import (
    Context,
    Event,
    Fail,
    Job,
    JobCancelled,
    JobFailed,
    JobFailedError,
    JobNotFound,
    JobProcessed,
    JobProcessing,
    JobQueued,
    JobRetrying,
    JobTimeout,
    Settings,
    State,
    Trace,
    current_trace,
    job,
    use_trace,
)
from asyncqueue.record import Filter

from ..recorder import PATIENCE, until


class Database:
    def __init__(self, name="db"):
        self.name = name


class Mailer: ...


def quick(value=None, **options):
    class Quick(Job, replace=True, **options):
        n: int = 0

        async def handle(self, ctx: Context) -> Any:
            return value

    return Quick


def breaking(**options):
    class Breaks(Job, replace=True, **options):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

    return Breaks


# Events


@pytest.mark.case("EVT-01", "EVT-03")
async def test_a_success_is_told_in_three_events(queue, make_worker, events):
    handle = await queue.dispatch(quick(queue="emails")(), delay=0, max_attempts=4)
    async with make_worker("emails"):
        (processed,) = await events.wait_for(JobProcessed)
    (queued,) = events.of(JobQueued)
    (processing,) = events.of(JobProcessing)
    for event in (queued, processing, processed):
        assert (event.job_id, event.name, event.queue) == (handle.id, "Quick", "emails")
        assert event.max_attempts == 4
        assert event.at.tzinfo is not None
    assert (queued.attempt, processing.attempt, processed.attempt) == (0, 1, 1)
    assert queued.delay == 0
    assert processed.duration >= 0


@pytest.mark.case("EVT-03")
async def test_a_delayed_dispatch_tells_its_delay(queue, events):
    await queue.dispatch(quick()(), delay=60)
    assert events.of(JobQueued)[0].delay == 60


@pytest.mark.case("EVT-02")
async def test_a_failure_is_told_attempt_by_attempt(queue, make_worker, clock, events):
    await queue.dispatch(breaking(max_attempts=2, backoff=7)())
    async with make_worker():
        await events.wait_for(JobRetrying)
        clock.advance(7)
        await events.wait_for(JobFailed)
    assert events.of_jobs() == [
        "JobQueued",
        "JobProcessing",
        "JobRetrying",
        "JobProcessing",
        "JobFailed",
    ]
    (retrying,) = events.of(JobRetrying)
    assert (retrying.attempt, retrying.max_attempts, retrying.delay) == (1, 2, 7)
    (failed,) = events.of(JobFailed)
    assert (failed.attempt, failed.max_attempts) == (2, 2)
    assert failed.duration >= 0
    assert str(retrying.error) == str(failed.error) == "broken"


@pytest.mark.case("EVT-04")
async def test_the_store_shows_what_an_event_tells(queue, make_worker, events):
    shown = []

    async def look(event):
        info = await queue.status(event.job_id)
        shown.append((type(event).__name__, info.state))

    for event_type in (JobProcessed, JobRetrying, JobFailed):
        queue.on(event_type, look)
    await queue.dispatch(quick()())
    await queue.dispatch(breaking(max_attempts=2, backoff=60)())
    await queue.dispatch(breaking(max_attempts=1)())
    async with make_worker(concurrency=1):
        await until(lambda: len(shown) == 3)
    # Listeners do not wait for each other.
    assert sorted(shown) == [
        ("JobFailed", State.FAILED),
        ("JobProcessed", State.COMPLETED),
        ("JobRetrying", State.DELAYED),
    ]


@pytest.mark.case("EVT-05")
@pytest.mark.parametrize("raised", [ValueError("deaf"), asyncio.CancelledError()], ids=repr)
async def test_listeners_that_raise_change_nothing(queue, make_worker, events, caplog, raised):
    def plain(event):
        raise raised

    async def asynchronous(event):
        raise raised

    heard = []
    queue.on(Event, asynchronous)
    if isinstance(raised, Exception):
        queue.on(Event, plain)
    queue.on(Event, heard.append)
    handle = await queue.dispatch(quick(5)())
    async with make_worker():
        assert await handle.result(PATIENCE) == 5
        assert await handle.result(timeout=0) == 5
    assert [type(e) for e in heard] == [type(e) for e in events.all]
    if isinstance(raised, Exception):
        assert "A listener raised on JobProcessed" in caplog.text


@pytest.mark.case("EVT-08")
async def test_a_slow_listener_hears_everything_in_order_and_holds_up_nothing(
    queue, make_worker, events
):
    proceed, heard = asyncio.Event(), []

    async def slow(event):
        await proceed.wait()
        heard.append(type(event).__name__)

    queue.on(Event, slow)
    async with make_worker(concurrency=1):
        await queue.dispatch(quick()())
        await queue.dispatch(quick()())
        await events.wait_for(JobProcessed, 2)
        assert heard == []
        proceed.set()
    assert heard == [type(event).__name__ for event in events.all]


async def test_a_listener_hears_its_type_until_it_is_taken_off(queue, make_worker, events):
    heard, cancelled = [], []
    off = queue.on(JobProcessed, heard.append)
    queue.on(JobCancelled, cancelled.append)  # The error of that name stands for the event.
    async with make_worker():
        await queue.dispatch(quick()())
        await events.wait_for(JobProcessed)
        off()
        off()
        await queue.dispatch(quick()())
        await events.wait_for(JobProcessed, 2)
    later = await queue.dispatch(quick()(), delay=60)
    await later.cancel()
    assert len(heard) == len(cancelled) == 1
    for wrong in (int, "JobProcessed", None):
        with pytest.raises(TypeError):
            queue.on(wrong, heard.append)
    with pytest.raises(TypeError):
        queue.on(JobProcessed, None)


@pytest.mark.case("EVT-07", "TRC-09")
async def test_the_log_tells_outcomes_without_data(queue, make_worker, events, caplog):
    caplog.set_level(logging.INFO)

    class Secret(Job):
        password: str

        async def handle(self, ctx: Context) -> None:
            if ctx.attempt == 1:
                raise ValueError("no access")

    with use_trace(Trace("t" * 32, "s" * 16, "p" * 16)):
        handle = await queue.dispatch(Secret("hunter2"), backoff=0)
    async with make_worker():
        await events.wait_for(JobProcessed)
    failed, completed = [r for r in caplog.records if handle.id in r.getMessage()]
    assert failed.levelno == logging.WARNING
    for part in ("Secret", "default", "attempt 1/3", "ValueError: no access"):
        assert part in failed.getMessage()
    assert failed.trace_id == "t" * 32
    assert "completed" in completed.getMessage()
    assert "hunter2" not in caplog.text


# Middleware


def noting(name, notes):
    async def middleware(ctx, call_next):
        notes.append(f"{name}+")
        try:
            return await call_next()
        finally:
            notes.append(f"{name}-")

    return middleware


@pytest.mark.case("MID-04", "MID-07")
async def test_middleware_goes_from_the_queues_to_the_workers_to_the_jobs(make_queue, make_worker):
    notes = []
    queue = make_queue(middleware=[noting("q1", notes), noting("q2", notes)])

    class Wrapped(Job, middleware=[noting("j1", notes), noting("j2", notes)], backoff=0):
        async def handle(self, ctx: Context) -> int:
            notes.append("handle")
            if ctx.attempt == 1:
                raise ValueError
            return 5

    handle = await queue.dispatch(Wrapped())
    async with make_worker(on=queue, middleware=[noting("w", notes)]):
        assert await handle.result(PATIENCE) == 5
    inwards = ["q1+", "q2+", "w+", "j1+", "j2+"]
    outwards = ["j2-", "j1-", "w-", "q2-", "q1-"]
    assert notes == [*inwards, "handle", *outwards] * 2


@pytest.mark.case("MID-02", "MID-03", "MID-06", "MID-12")
async def test_what_middleware_can_make_of_a_job(queue, make_worker, events):
    seen = []

    async def swallows(ctx, call_next):
        with contextlib.suppress(ValueError):
            return await call_next()
        return "swallowed"

    async def raises(ctx, call_next):
        await call_next()
        raise KeyError("after")

    async def watches(ctx, call_next):
        try:
            return await call_next()
        except ValueError as error:
            seen.append((ctx.job_name, str(error)))
            raise

    async def fails(ctx, call_next):
        try:
            return await call_next()
        except ValueError as error:
            raise Fail(error) from error

    swallowed = await queue.dispatch(breaking(middleware=[swallows], name="First")())
    raised = await queue.dispatch(quick(middleware=[raises], max_attempts=1)())
    watched = await queue.dispatch(breaking(middleware=[watches], max_attempts=1, name="Other")())
    failed = await queue.dispatch(breaking(middleware=[fails], name="Third")())
    async with make_worker(concurrency=1):
        assert await swallowed.result(PATIENCE) == "swallowed"
        for handle in (raised, watched, failed):
            with pytest.raises(JobFailedError):
                await handle.result(PATIENCE)
    assert seen == [("Other", "broken")]
    assert "KeyError" in (await raised.status()).error
    assert len(events.of(JobRetrying)) == 0


@pytest.mark.case("MID-05")
async def test_middleware_that_does_not_call_on_completes_the_job(queue, make_worker, events):
    async def skips(ctx, call_next):
        return "skipped"

    handle = await queue.dispatch(breaking(middleware=[skips])())
    async with make_worker():
        assert await handle.result(PATIENCE) == "skipped"
    assert len(events.of(JobProcessed)) == 1


@pytest.mark.case("MID-08")
async def test_middleware_is_inside_the_timeout(queue, make_worker, clock, events):
    waiting = asyncio.Event()

    async def waits(ctx, call_next):
        waiting.set()
        await asyncio.Event().wait()

    await queue.dispatch(quick(middleware=[waits], timeout=10, max_attempts=1)())
    async with make_worker():
        await waiting.wait()
        clock.advance(10)
        (failed,) = await events.wait_for(JobFailed)
    assert isinstance(failed.error, JobTimeout)


# Services


@pytest.mark.case("DEP-02", "DEP-04", "DEP-08")
async def test_services_come_by_type_name_and_annotation(make_queue, make_worker):
    database, mailer = Database(), Mailer()
    queue = make_queue(services={"db": database})

    class Uses(Job):
        async def handle(self, ctx: Context, db: Database, mail: Mailer, extra: int = 7) -> list:
            return [
                ctx.get(Database) is ctx.get("db") is db is database,
                ctx.get(Mailer) is mail is mailer,
                extra,
            ]

    class Plain(Job):
        def handle(self, ctx: Context, db: Database) -> bool:
            return db is database

    @job
    async def function(ctx: Context, n: int, db: Database) -> str:
        return f"{db.name}{n}"

    async with make_worker(on=queue, services=[mailer]):
        assert await (await queue.dispatch(Uses())).result(PATIENCE) == [True, True, 7]
        assert await (await queue.dispatch(Plain())).result(PATIENCE) is True


@pytest.mark.case("DEP-05")
async def test_a_missing_service_is_a_failure_that_names_it(queue, make_worker, events):
    class Asks(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            ctx.get("orders")

    class Needs(Job, max_attempts=1):
        async def handle(self, ctx: Context, db: Database) -> None: ...

    asks, needs = await queue.dispatch(Asks()), await queue.dispatch(Needs())
    async with make_worker():
        for handle, name in ((asks, "orders"), (needs, "Database")):
            with pytest.raises(JobFailedError, match=f"ConfigError.*{name}"):
                await handle.result(PATIENCE)


async def test_async_context_managers_stand_for_what_they_give(queue, make_worker):
    @contextlib.asynccontextmanager
    async def database():
        yield Database("entered")

    class Uses(Job):
        async def handle(self, ctx: Context, db: Database) -> str:
            return db.name

    handle = await queue.dispatch(Uses())
    async with make_worker(services={"db": database}):
        assert await handle.result(PATIENCE) == "entered"


@pytest.mark.case("DEP-07")
async def test_what_the_context_knows(queue, make_worker, clock):
    known = {}

    class Knows(Job, queue="emails:high", max_attempts=4, timeout=60):
        async def handle(self, ctx: Context) -> None:
            known["ctx"] = ctx
            known["remaining"] = ctx.remaining

    before = clock.now()
    handle = await queue.dispatch(Knows())
    clock.advance(5)
    async with make_worker("emails"):
        await handle.result(PATIENCE)
    ctx = known["ctx"]
    assert (ctx.job_id, ctx.job_name, ctx.queue) == (handle.id, "Knows", "emails")
    assert (ctx.attempt, ctx.max_attempts, ctx.priority) == (1, 4, 10)
    assert ctx.dispatched_at == before
    assert (ctx.deadline - clock.now()).total_seconds() == known["remaining"] == 60
    assert (ctx.batch_id, ctx.cause, ctx.cancelled.is_set()) == (None, None, False)
    assert ctx.logger.extra["job_id"] == handle.id
    assert handle.id in repr(ctx)


@pytest.mark.case("WRK-01", "WRK-14", "WRK-15")
async def test_the_workers_handler_runs_plain_jobs_only(queue, make_worker):
    handled = []

    class Plain(Job):
        n: int

        def handle(self, ctx: Context) -> None:
            raise AssertionError

    class Bare(Job):
        n: int

    class Aware(Job):
        async def handle(self, ctx: Context) -> str:
            return "own"

    def handler(job):
        handled.append(job)
        return "worker's"

    plain, bare, aware = [await queue.dispatch(j) for j in (Plain(1), Bare(2), Aware())]
    async with make_worker(handler=handler):
        found = [await handle.result(PATIENCE) for handle in (plain, bare, aware)]
    assert found == ["worker's", "worker's", "own"]
    assert sorted(job.n for job in handled) == [1, 2]


async def test_a_job_without_a_handle_fails_with_advice(queue, make_worker):
    class Bare(Job, max_attempts=1): ...

    handle = await queue.dispatch(Bare())
    async with make_worker():
        with pytest.raises(JobFailedError, match="Bare has no handle"):
            await handle.result(PATIENCE)


# Results, progress, states


RESULTS = [None, 0, "", [1, "two", None], {"a": [1.5]}, True, datetime(2030, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize("value", RESULTS, ids=repr)
async def test_a_result_comes_back(queue, make_worker, value):
    cls = quick(value)
    if isinstance(value, datetime):
        cls.handle.__annotations__["return"] = datetime
    handle = await queue.dispatch(cls())
    async with make_worker():
        assert await handle.result(PATIENCE) == value
    assert await handle.result() == value


@pytest.mark.parametrize(
    "value", [object(), {1, object()}, 2**70, "\ud800"], ids=["object", "set", "large", "surrogate"]
)
async def test_a_result_that_cannot_be_stored_fails_the_job_at_once(
    queue, make_worker, events, value
):
    handle = await queue.dispatch(quick(value)())
    async with make_worker():
        with pytest.raises(JobFailedError, match="PayloadError"):
            await handle.result(PATIENCE)
    assert len(events.of(JobProcessing)) == 1


async def test_every_ending_reaches_who_waits_for_the_result(queue, make_worker, clock):
    waits = [
        await queue.dispatch(quick(1)()),
        await queue.dispatch(breaking(max_attempts=1)()),
        await queue.dispatch(quick()(), delay=1000),
        await queue.dispatch(quick(retention=0)()),
        await queue.dispatch(quick()(), delay=1000),
    ]
    waiting = [asyncio.create_task(handle.result()) for handle in waits[:4]]
    await waits[2].cancel()
    quick(1)
    async with make_worker():
        found = await asyncio.gather(*waiting[:3], return_exceptions=True)
        assert found[0] == 1
        assert [type(error) for error in found[1:]] == [JobFailedError, JobCancelled]
        with pytest.raises(TimeoutError):
            await waits[4].result(timeout=0.02)
    waiting[3].cancel()


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
async def test_an_end_that_comes_during_a_look_is_not_overlooked(driver, make_queue, monkeypatch):
    """Nor is one that came long ago, by those who do not want to wait."""
    find, looks = driver.find, []

    async def finds(which, **options):
        found = await find(which, **options)
        looks.append(found)
        if len(looks) == 2:
            await driver.cancel(which, 60)
        await asyncio.sleep(0)
        return found

    queue = make_queue(settings=Settings(poll_interval=1_000))
    handle = await queue.dispatch(quick()())
    monkeypatch.setattr(driver, "find", finds)
    assert (await queue.wait_finished(handle.id, 5)).state is State.CANCELLED
    assert len(looks) == 3
    assert (await queue.wait_finished(handle.id, 0)).state is State.CANCELLED


async def test_without_retention_nothing_is_kept(queue, make_worker, events):
    handle = await queue.dispatch(quick(1, retention=0)())
    async with make_worker():
        await events.wait_for(JobProcessed)
    with pytest.raises(JobNotFound):
        await handle.result(PATIENCE)
    with pytest.raises(JobNotFound):
        await handle.status()


@pytest.mark.case("MON-05", "MON-06")
async def test_progress_shows_while_the_job_runs_and_is_full_at_its_end(queue, make_worker):
    reported, proceed = asyncio.Event(), asyncio.Event()

    class Reports(Job):
        async def handle(self, ctx: Context) -> None:
            for wrong in ((-1, None), (1, 0), (float("nan"), None), (1, -5)):
                with pytest.raises(ValueError, match="progress needs"):
                    await ctx.progress(*wrong)
            await ctx.progress(2, 5, "two of five")
            reported.set()
            await proceed.wait()

    handle = await queue.dispatch(Reports())
    info = await handle.status()
    assert (info.state, info.started_at, info.finished_at) == (State.PENDING, None, None)
    async with make_worker() as worker:
        await reported.wait()
        info = await handle.status()
        assert (info.state, info.progress, info.message) == (State.PROCESSING, 40, "two of five")
        assert info.worker == worker.id
        proceed.set()
        await handle.result(PATIENCE)
    info = await handle.status()
    assert (info.state, info.progress) == (State.COMPLETED, 100)
    assert info.created_at <= info.started_at <= info.finished_at


@pytest.mark.case("MON-01", "MON-04", "MON-08", "MON-18")
async def test_size_counts_what_waits(queue, make_worker, clock):
    running = asyncio.Event()

    class Runs(Job):
        async def handle(self, ctx: Context) -> None:
            running.set()
            await asyncio.Event().wait()

    await queue.dispatch(Runs())
    await queue.dispatch(Runs(), delay=60)
    await queue.dispatch(Runs())
    async with make_worker(concurrency=1):
        await running.wait()
        assert await queue.size("default") == 2
        stats = (await queue.stats())["default"]
        assert (stats.pending, stats.delayed, stats.processing) == (1, 1, 1)
        (info,) = await queue.workers()
        assert len(info.running) == 1
    assert await queue.size("never used") == 0
    with pytest.raises(JobNotFound):
        await queue.status("unknown")


# Traces


TRACE = Trace("a" * 32, "b" * 16, "c" * 16)


@pytest.mark.case("TRC-01", "TRC-02", "TRC-03", "TRC-08")
async def test_the_producers_trace_is_seen_everywhere_also_after_retries(
    queue, make_worker, events, clock
):
    seen = []

    class Traced(Job, backoff=10):
        async def handle(self, ctx: Context) -> None:
            seen.append((current_trace(), ctx.trace))
            if ctx.attempt == 1:
                raise ValueError

    class PlainTraced(Job):
        def handle(self, ctx: Context) -> None:
            seen.append((current_trace(), ctx.trace))

    with use_trace(TRACE):
        await queue.dispatch(Traced(), delay=5)
        await queue.dispatch(PlainTraced())
        await queue.dispatch(breaking(max_attempts=1)())
    clock.advance(5)
    async with make_worker():
        await events.wait_for(JobRetrying)
        clock.advance(10)
        await events.wait_for(JobProcessed, 2)
        await events.wait_for(JobFailed)
    assert seen == [(TRACE, TRACE)] * 3
    for told in (JobQueued, JobProcessing, JobRetrying, JobProcessed, JobFailed):
        assert {event.trace for event in events.of(told)} == {TRACE}


@pytest.mark.case("TRC-04", "TRC-07")
async def test_without_a_producers_trace_the_handler_sees_the_workers(queue, make_worker, driver):
    seen = []

    class Traced(Job):
        async def handle(self, ctx: Context) -> None:
            seen.append((current_trace(), ctx.trace))

    handle = await queue.dispatch(Traced())

    (stored,) = (await driver.find(Filter(ids=(handle.id,)))).items
    assert b"trace" not in stored.payload
    with use_trace(TRACE):
        async with make_worker():
            await handle.result(PATIENCE)
    assert seen == [(TRACE, TRACE)]


@pytest.mark.case("TRC-03", "TRC-07")
async def test_a_producers_trace_is_seen_though_the_worker_has_its_own(queue, make_worker):
    seen = []

    class TracedElsewhere(Job):
        async def handle(self, ctx: Context) -> None:
            seen.append((current_trace(), ctx.trace))

    with use_trace(TRACE):
        handle = await queue.dispatch(TracedElsewhere())
    with use_trace(Trace("9" * 32, "8" * 16)):
        async with make_worker():
            await handle.result(PATIENCE)
    assert seen == [(TRACE, TRACE)]


async def test_one_jobs_trace_is_not_seen_by_the_next(queue, make_worker):
    seen = []

    class Traced(Job):
        async def handle(self, ctx: Context) -> None:
            seen.append(current_trace())

    with use_trace(TRACE):
        await queue.dispatch(Traced())
    last = await queue.dispatch(Traced())
    async with make_worker(concurrency=1):
        await last.result(PATIENCE)
    assert seen == [TRACE, None]


@pytest.mark.case("TST-09")
async def test_events_carry_the_time_of_the_queues_clock(queue, make_worker, clock, events):
    """A test that moves the clock by hand sees its own times."""
    clock.advance(86_400)
    handle = await queue.dispatch(quick(7)())
    await make_worker(stop_when_empty=True).run()
    assert await handle.result(PATIENCE) == 7
    await queue.pause("default")
    told = [abs(event.at.timestamp() - clock.time()) for event in events.all]
    assert len(told) >= 5
    assert max(told) < 60


async def test_a_deadline_beyond_the_end_of_time_is_the_end_of_time(queue, make_worker):
    seen = []

    class Endless(Job, timeout=1e12):
        async def handle(self, ctx: Context) -> None:
            seen.append(ctx.deadline)

    await (await queue.dispatch(Endless())).status()
    await make_worker(stop_when_empty=True).run()
    assert seen == [datetime.max.replace(tzinfo=UTC)]


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
async def test_completed_jobs_are_logged_where_that_is_wanted(queue, make_worker, caplog, level):
    """Also if nobody listens."""
    caplog.set_level(level, "tests.worker")
    handle = await queue.dispatch(quick(1)())
    async with make_worker():
        await handle.result(PATIENCE)
    assert (f"{handle.id} on default (attempt 1/3) completed in" in caplog.text) is (
        level == logging.INFO
    )
