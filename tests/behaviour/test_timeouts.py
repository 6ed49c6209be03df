"""The timeout row of the shutdown table, deadlines, and errors that only look like ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from datetime import timedelta

import anyio
import pytest

from asyncqueue import (
    Context,
    Job,
    JobFailed,
    JobProcessed,
    JobProcessing,
    JobRetrying,
    JobTimeout,
    State,
)

from ..recorder import PATIENCE, until
from .stopping import (
    UNWINDING,
    Stage,
    cleans_up,
    deaf,
    define,
    define_plain,
    obedient,
    swallows_and_raises,
    swallows_and_returns,
)


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    stage.proceed.set()
    stage.thread_may_end.set()


async def begun(stage, patience=PATIENCE):
    async with asyncio.timeout(patience):
        await stage.started.wait()


# The row of the table


@pytest.mark.case("TMO-01", "TMO-02", "TMO-09")
@pytest.mark.parametrize("handling", [*UNWINDING, swallows_and_returns, swallows_and_raises])
async def test_a_timeout_is_a_failure_whatever_the_handler_does(
    queue, make_worker, clock, stage, events, handling
):
    handle = await queue.dispatch(define(handling, stage)())
    async with make_worker(timeout=10, backoff=7):
        await begun(stage)
        clock.advance(9.9)
        await asyncio.sleep(0.01)
        assert not stage.ctx.cancelled.is_set()
        clock.advance(0.2)
        (retrying,) = await events.wait_for(JobRetrying)
        assert stage.ctx.cause == "timeout"
        assert isinstance(retrying.error, JobTimeout)
        assert (retrying.attempt, retrying.delay) == (1, 7)
        info = await handle.status()
        assert (info.state, info.attempts) == (State.DELAYED, 1)
        stage.started.clear()
        clock.advance(7)
        await begun(stage)
        assert stage.ctx.attempt == 2


@pytest.mark.case("TMO-03", "TMO-06", "FLD-03")
@pytest.mark.parametrize("handling", [obedient, swallows_and_returns, swallows_and_raises])
async def test_a_timeout_of_the_last_attempt_fails_the_job(
    queue, make_worker, clock, stage, events, handling
):
    job = define(handling, stage, max_attempts=1, timeout=12.5)
    handle = await queue.dispatch(job())
    async with make_worker():
        await begun(stage)
        clock.advance(12.5)
        (failed,) = await events.wait_for(JobFailed)
        await until(lambda: stage.hooked)
    (error,) = stage.hooked
    assert isinstance(error, JobTimeout)
    assert error is failed.error
    assert "12.5 s" in str(error)
    record = await queue.failed.get(handle.id)
    assert record.error.startswith("JobTimeout: ")
    assert len(events.of(JobFailed)) == 1


@pytest.mark.case("FLD-03")
async def test_after_a_timeout_the_hook_can_still_use_the_context(
    queue, make_worker, clock, stage, events, caplog
):
    class Next(Job):
        async def handle(self, ctx: Context) -> None: ...

    class Waits(Job, timeout=10, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            stage.enter(ctx)
            await stage.wait()

        async def failed(self, ctx: Context, error: BaseException) -> None:
            ctx.logger.error("%s gave up in attempt %s", ctx.job_name, ctx.attempt)
            stage.hooked.append(await ctx.dispatch(Next(), queue="later"))

    await queue.dispatch(Waits())
    async with make_worker():
        await begun(stage)
        clock.advance(10)
        await until(lambda: stage.hooked)
    assert "Waits gave up in attempt 1" in caplog.text
    assert await queue.size("later") == 1


@pytest.mark.case("TMO-13", "TMO-09", "WRK-07")
@pytest.mark.parametrize(
    ("worker", "own", "given", "expected"),
    [
        (20, None, None, 20),
        (20, 5, None, 5),
        (20, 50, None, 50),
        (20, 5, 8, 8),
        (None, None, None, 30),
        (20, timedelta(minutes=5), None, 300),
        (20, math.inf, None, math.inf),
        (20, 5, math.inf, math.inf),
        (math.inf, None, None, math.inf),
        (math.inf, 5, None, 5),
        (20, math.inf, 3, 3),
    ],
)
async def test_whose_timeout_counts(queue, make_worker, clock, stage, worker, own, given, expected):
    """The dispatch's, the job's, the worker's."""
    await queue.dispatch(define(obedient, stage, timeout=own)(), timeout=given)
    async with make_worker(timeout=worker):
        await begun(stage)
        now = clock.time()
        assert stage.ctx.remaining == expected
        if expected is math.inf:
            assert stage.ctx.deadline is None
            clock.advance(500)
            await asyncio.sleep(0.01)
            assert not stage.ctx.cancelled.is_set()
            return
        assert stage.ctx.deadline.timestamp() == now + expected
        clock.advance(expected - 0.05)
        await asyncio.sleep(0.01)
        assert not stage.ctx.cancelled.is_set()
        assert stage.ctx.remaining == pytest.approx(0.05, abs=1e-3)
        clock.advance(0.05)
        async with asyncio.timeout(PATIENCE):
            await stage.cancelled.wait()
        assert stage.ctx.remaining == 0


@pytest.mark.parametrize("timeout", [10, 0.15])
async def test_a_handler_may_ask_for_more_time(queue, make_worker, clock, stage, timeout):
    async def asks(stage):
        await stage.ctx.extend(timedelta(seconds=60))
        stage.proceed.set()
        await stage.wait()

    await queue.dispatch(define(asks, stage, timeout=timeout, max_attempts=1)())
    async with make_worker(lease=600):
        await begun(stage)
        before = stage.ctx.deadline
        await stage.proceed.wait()
        assert stage.ctx.remaining == pytest.approx(60 + timeout)
        assert stage.ctx.deadline - before <= timedelta(seconds=60)
        clock.advance(59 + timeout)
        await asyncio.sleep(0.01)
        assert not stage.ctx.cancelled.is_set()
        clock.advance(1)
        await until(lambda: stage.hooked)
    assert f"{60 + timeout:g} s" in str(stage.hooked[0])


async def test_extending_without_a_timeout_changes_nothing(queue, make_worker, stage):
    async def asks(stage):
        await stage.ctx.extend(60)
        return stage.ctx.deadline

    handle = await queue.dispatch(define(asks, stage, timeout=math.inf)())
    async with make_worker():
        assert await handle.result(PATIENCE) is None


@pytest.mark.case("TMO-08")
async def test_a_handler_that_ends_in_time_leaves_no_trace(
    queue, make_worker, clock, stage, events
):
    async def in_time(stage):
        await stage.proceed.wait()
        return 1

    handle = await queue.dispatch(define(in_time, stage, timeout=10)())
    async with make_worker():
        await begun(stage)
        clock.advance(9.99)
        stage.proceed.set()
        assert await handle.result(PATIENCE) == 1
        clock.advance(10)
    assert events.of_jobs() == ["JobQueued", "JobProcessing", "JobProcessed"]


@pytest.mark.case("TMO-05")
async def test_a_deaf_handler_loses_its_slot_after_the_drain(
    queue, make_worker, clock, stage, events, caplog
):
    handle = await queue.dispatch(define(deaf, stage, timeout=10)())
    async with make_worker(concurrency=1, drain_timeout=5, lease=60, max_jobs=3):
        await begun(stage)
        clock.advance(10)
        await stage.cancelled.wait()

        class Next(Job):
            async def handle(self, ctx: Context) -> str:
                return "ran"

        after = await queue.dispatch(Next())
        clock.advance(4)
        await asyncio.sleep(0.01)
        assert (await after.status()).attempts == 0
        clock.advance(1)
        assert await after.result(PATIENCE) == "ran"
        leaks = [r for r in caplog.records if "leaks" in r.getMessage()]
        assert len(leaks) == 1
        assert leaks[0].levelno == logging.WARNING
        assert (await handle.status()).state is State.PROCESSING
        stage.proceed.set()
        await asyncio.sleep(0.01)
        assert (await handle.status()).state is State.PROCESSING
        stage.started.clear()
        clock.advance(80)
        await begun(stage)
        assert stage.ctx.attempt == 2


@pytest.mark.case("TMO-04")
async def test_a_plain_job_that_times_out_is_a_failure_and_frees_its_slot(
    queue, make_worker, clock, stage, events
):
    handle = await queue.dispatch(define_plain(stage, timeout=10)())
    async with make_worker(concurrency=1, backoff=100):
        await begun(stage)
        clock.advance(10)
        (retrying,) = await events.wait_for(JobRetrying)
        assert isinstance(retrying.error, JobTimeout)
        assert stage.ctx.cause == "timeout"

        class Next(Job):
            async def handle(self, ctx: Context) -> str:
                return "ran"

        assert await (await queue.dispatch(Next())).result(PATIENCE) == "ran"
        stage.thread_may_end.set()
        await asyncio.sleep(0.02)
        assert (await handle.status()).state is State.DELAYED


@pytest.mark.case("TMO-11")
async def test_a_plain_job_can_poll_for_its_cancellation(queue, make_worker, clock):
    polled = []

    class Polls(Job, timeout=10, max_attempts=1):
        def handle(self, ctx: Context) -> None:
            polled.append("begun")
            deadline = time.monotonic() + PATIENCE
            while not ctx.cancelled.is_set() and time.monotonic() < deadline:
                time.sleep(0.001)
            polled.append(ctx.cause)

    await queue.dispatch(Polls())
    async with make_worker():
        await until(lambda: polled)
        clock.advance(10)
        await until(lambda: len(polled) == 2)
    assert polled == ["begun", "timeout"]


async def test_a_handler_can_await_its_cancellation(queue, make_worker, clock, stage):
    async def watches(stage):
        watching = asyncio.ensure_future(stage.ctx.cancelled.wait())
        await asyncio.shield(asyncio.wait([watching]))

    await queue.dispatch(define(watches, stage, timeout=10)())
    async with make_worker():
        await begun(stage)
        clock.advance(10)
        await until(stage.ctx.cancelled.is_set)
        assert stage.ctx.cause == "timeout"


# Timeout and stop


async def test_a_timeout_before_the_stop_is_a_timeout(queue, make_worker, clock, stage, events):
    handle = await queue.dispatch(define(cleans_up, stage, timeout=10)())
    worker = make_worker(drain_timeout=5)
    await worker.start()
    await begun(stage)
    clock.advance(10)
    await stage.cancelled.wait()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    stage.proceed.set()
    await stopping
    assert stage.ctx.cause == "timeout"
    info = await handle.status()
    assert (info.state, info.attempts) == (State.DELAYED, 1)
    assert events.of_jobs() == ["JobQueued", "JobProcessing", "JobRetrying"]


async def test_a_stop_before_the_timeout_is_a_stop(queue, make_worker, clock, stage, events):
    handle = await queue.dispatch(define(cleans_up, stage, timeout=10)())
    worker = make_worker(drain_timeout=50)
    await worker.start()
    await begun(stage)
    stopping = asyncio.create_task(worker.stop())
    await stage.cancelled.wait()
    clock.advance(20)
    await asyncio.sleep(0)
    assert stage.ctx.cause == "shutdown"
    stage.proceed.set()
    await stopping
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 0)
    assert events.of_jobs() == ["JobQueued", "JobProcessing"]


async def test_a_timeout_and_a_stop_in_one_turn_are_one_outcome(
    queue, make_worker, clock, stage, events
):
    handle = await queue.dispatch(define(obedient, stage, timeout=10)())
    worker = make_worker()
    await worker.start()
    await begun(stage)
    stopping = asyncio.create_task(worker.stop())
    clock.advance(10)
    await stopping
    info = await handle.status()
    expected = {
        "timeout": (State.DELAYED, 1, 3),
        "shutdown": (State.PENDING, 0, 2),
    }[stage.ctx.cause]
    assert (info.state, info.attempts, len(events.of_jobs())) == expected


async def test_an_operators_cancel_after_a_timeout_is_still_a_timeout(
    queue, make_worker, clock, stage, events
):
    handle = await queue.dispatch(define(cleans_up, stage, timeout=10)())
    async with make_worker():
        await begun(stage)
        clock.advance(10)
        await stage.cancelled.wait()
        stage.proceed.set()
        await events.wait_for(JobRetrying)
        assert (await handle.status()).state is State.DELAYED


# What retry rules make of it


@pytest.mark.case("TMO-07")
@pytest.mark.parametrize("says", [True, False])
async def test_should_retry_is_asked_about_timeouts(queue, make_worker, clock, stage, events, says):
    asked = []

    class Asks(Job, timeout=10):
        async def handle(self, ctx: Context) -> None:
            stage.enter(ctx)
            await stage.wait()

        def should_retry(self, error: Exception) -> bool:
            asked.append(error)
            return says

    handle = await queue.dispatch(Asks())
    async with make_worker():
        await begun(stage)
        clock.advance(10)
        await events.wait_for(JobRetrying if says else JobFailed)
    assert (await handle.status()).state is (State.DELAYED if says else State.FAILED)
    assert [type(error) for error in asked] == [JobTimeout]


@pytest.mark.case("TMO-15")
async def test_fail_on_timeout_makes_a_timeout_final(queue, make_worker, clock, stage, events):
    await queue.dispatch(define(obedient, stage, timeout=10, fail_on_timeout=True)())
    async with make_worker():
        await begun(stage)
        clock.advance(10)
        (failed,) = await events.wait_for(JobFailed)
        assert failed.attempt == 1
        await until(lambda: stage.hooked)


async def test_fail_on_timeout_leaves_other_errors_alone(queue, make_worker, stage, events):
    async def breaks(_stage):
        raise TimeoutError("the handler's own")

    await queue.dispatch(define(breaks, stage, fail_on_timeout=True)())
    async with make_worker():
        await events.wait_for(JobRetrying)


# Errors that only look like ours


async def own_timeout_error(_stage):
    raise TimeoutError("mine")


async def own_cancelled_error(_stage):
    raise asyncio.CancelledError("mine")


async def cancels_itself(_stage):
    asyncio.current_task().cancel()
    await asyncio.Event().wait()


async def own_deadline(_stage):
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


async def waits_for_too_long(_stage):
    await asyncio.wait_for(asyncio.Event().wait(), 0.001)


async def awaits_a_cancelled_task(_stage):
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def breaks_in_a_task_group(_stage):
    async def breaks():
        raise ZeroDivisionError

    async with asyncio.TaskGroup() as group:
        group.create_task(breaks())
        group.create_task(asyncio.Event().wait())


async def anyio_deadline(_stage):
    with anyio.fail_after(0.001):
        await anyio.sleep_forever()


async def base_exception(_stage):
    class Odd(BaseException): ...

    raise Odd("odd")


async def exits(_stage):
    raise SystemExit(3)


async def a_group_of_cancellations(_stage):
    raise BaseExceptionGroup("all", [asyncio.CancelledError()])


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


async def an_error_without_a_text(_stage):
    raise UnspeakableError


async def stop_async_iteration(_stage):
    raise StopAsyncIteration


OWN_ERRORS = [
    own_timeout_error,
    own_cancelled_error,
    cancels_itself,
    own_deadline,
    waits_for_too_long,
    awaits_a_cancelled_task,
    breaks_in_a_task_group,
    anyio_deadline,
    base_exception,
    exits,
    a_group_of_cancellations,
    an_error_without_a_text,
    stop_async_iteration,
]


@pytest.mark.case("RTY-21", "TMO-10", "TMO-12")
@pytest.mark.parametrize("handling", OWN_ERRORS)
async def test_an_error_of_the_handlers_own_is_an_ordinary_failure(
    queue, make_worker, stage, events, handling, caplog
):
    """Retried, then failed for good; the worker lives on."""
    handle = await queue.dispatch(define(handling, stage, max_attempts=2, backoff=0)())
    async with make_worker(concurrency=1) as worker:
        await until(lambda: stage.hooked)
        assert worker.running
        assert [ctx.attempt for ctx in stage.contexts] == [1, 2]
        assert all(ctx.cause is None for ctx in stage.contexts)
        assert not isinstance(stage.hooked[0], JobTimeout)
        record = await queue.failed.get(handle.id)
        assert record.error
        assert record.traceback

        async def at_once(_stage):
            return 1

        after = await queue.dispatch(define(at_once, stage)())
        assert await after.result(PATIENCE) == 1
    (logged,) = [line for line in caplog.records if "failed for good" in line.getMessage()]
    assert logged.exc_info is not None
    names = [n for n in events.of_jobs() if n not in ("JobQueued", "JobProcessing")]
    assert names == ["JobRetrying", "JobFailed", "JobProcessed"]


async def own_scope_expires(_stage):
    with anyio.move_on_after(0.001):
        await anyio.sleep_forever()
    return "passed"


async def cancels_itself_too_late(_stage):
    asyncio.current_task().cancel()
    return "passed"


async def swallows_its_own_cancellation(_stage):
    asyncio.current_task().cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "passed"


async def catches_its_own_deadline(_stage):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    return "passed"


@pytest.mark.parametrize(
    "handling",
    [
        own_scope_expires,
        cancels_itself_too_late,
        swallows_its_own_cancellation,
        catches_its_own_deadline,
    ],
)
async def test_a_cancellation_of_the_handlers_own_that_it_survives_is_a_success(
    queue, make_worker, stage, events, handling
):
    handle = await queue.dispatch(define(handling, stage)())
    async with make_worker():
        assert await handle.result(PATIENCE) == "passed"
    assert len(events.of(JobProcessed)) == 1


async def test_after_its_own_cancellation_a_timeout_still_counts(
    queue, make_worker, clock, stage, events
):
    async def both(stage):
        asyncio.current_task().cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        await stage.wait()

    await queue.dispatch(define(both, stage, timeout=10)())
    async with make_worker():
        await begun(stage)
        await asyncio.sleep(0.01)
        clock.advance(10)
        (retrying,) = await events.wait_for(JobRetrying)
    assert isinstance(retrying.error, JobTimeout)


async def test_a_shorter_deadline_of_a_later_job_is_kept(queue, make_worker, clock, stage, events):
    """Deadlines are looked at in rounds; each job is still cut at its own."""
    job = define(obedient, stage)
    timeouts = [50, 0.01, 3, 0.15, 0.25, 20]
    handles = [await queue.dispatch(job(), timeout=t) for t in timeouts]
    async with make_worker(backoff=1000):
        await events.wait_for(JobProcessing, len(timeouts))
        order = sorted(zip(timeouts, handles, strict=True), key=lambda pair: pair[0])
        before = 0
        for count, (timeout, handle) in enumerate(order, 1):
            clock.advance(timeout - before - 0.005)
            await asyncio.sleep(0.005)
            assert len(events.of(JobRetrying)) == count - 1
            clock.advance(0.005)
            before = timeout
            assert (await events.wait_for(JobRetrying, count))[-1].job_id == handle.id
