"""Grace, hurry, bounded stops, stops from odd places and at odd moments."""

from __future__ import annotations

import asyncio
import logging
import time

import anyio.from_thread
import pytest

from asyncqueue import (
    Context,
    Fail,
    Job,
    JobFailed,
    JobProcessed,
    JobProcessing,
    QueueClosed,
    Retry,
    Snooze,
    State,
    WorkerStarted,
    WorkerStopping,
)
from asyncqueue.events import JobEvent

from ..recorder import PATIENCE, Recorder, until
from .frail import frail
from .stopping import (
    Stage,
    cleans_up,
    deaf,
    define,
    define_plain,
    obedient,
    swallows_and_raises,
)


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    stage.proceed.set()
    stage.thread_may_end.set()


@pytest.fixture
async def weak(driver, make_queue):
    """A queue on a driver that can be broken."""
    driver = frail(driver)
    queue = make_queue(driver)
    yield queue
    driver.broken.clear()
    for gate in (*driver.held.values(), *driver.late.values()):
        gate.set()
    await queue.close()
    await driver.close()


async def settled(task):
    """Whatever was due on the loop is done, and the task is not."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


# Grace


async def test_during_the_grace_jobs_go_on(queue, make_worker, clock, stage):
    async def until_told(stage):
        await stage.proceed.wait()
        return "done"

    handle = await queue.dispatch(define(until_told, stage)())
    worker = make_worker(grace=10)
    await worker.start()
    await stage.started.wait()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    clock.advance(9)
    await settled(stopping)
    assert not stage.ctx.cancelled.is_set()
    stage.proceed.set()
    await stopping
    assert await handle.result(PATIENCE) == "done"


async def test_after_the_grace_jobs_are_cancelled(queue, make_worker, clock, stage):
    handle = await queue.dispatch(define(obedient, stage)())
    worker = make_worker(grace=10)
    await worker.start()
    await stage.started.wait()
    stopping = asyncio.create_task(worker.stop())
    async with asyncio.timeout(PATIENCE):
        while not stopping.done():
            clock.advance(10)  # The grace may not have begun yet.
            await asyncio.sleep(0.002)
    await stopping
    assert stage.ctx.cause == "shutdown"
    assert (await handle.status()).attempts == 0


async def test_during_the_grace_nothing_new_starts(queue, make_worker, clock, stage, events):
    job = define(obedient, stage)
    await queue.dispatch(job())
    worker = make_worker(grace=10, concurrency=2)
    await worker.start()
    await stage.started.wait()
    stopping = asyncio.create_task(worker.stop())
    await events.wait_for(WorkerStopping)
    second = await queue.dispatch(job())
    clock.advance(9)
    await settled(stopping)
    # A claim that was on its way at that time is handed back.
    async with asyncio.timeout(PATIENCE):
        while (await second.status()).attempts:
            await asyncio.sleep(0.002)
    worker.hurry()
    await stopping
    assert len(events.of(JobProcessing)) == 1


@pytest.mark.case("SHD-08")
async def test_an_error_during_the_grace_spends_no_attempt(
    queue, make_worker, stage, events, caplog
):
    async def breaks(stage):
        await stage.proceed.wait()
        raise ValueError("broken")

    handle = await queue.dispatch(define(breaks, stage, max_attempts=1)())
    worker = make_worker(grace=10)
    await worker.start()
    await stage.started.wait()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    stage.proceed.set()
    await stopping
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 0)
    assert stage.hooked == []
    assert events.of_jobs() == ["JobQueued", "JobProcessing"]
    assert [r.levelno for r in caplog.records if r.levelno >= logging.WARNING] == [logging.WARNING]


@pytest.mark.parametrize(
    "raised", [Fail("no"), Retry(5), Snooze(5)], ids=["fail", "retry", "snooze"]
)
async def test_what_a_handler_decides_while_stopping_counts(queue, make_worker, stage, raised):
    async def decides(stage):
        try:
            await stage.wait()
        except asyncio.CancelledError:
            raise raised from None

    handle = await queue.dispatch(define(decides, stage)())
    worker = make_worker()
    await worker.start()
    await stage.started.wait()
    await worker.stop()
    info = await handle.status()
    expected = {Fail: (State.FAILED, 1), Retry: (State.DELAYED, 1), Snooze: (State.DELAYED, 0)}
    assert (info.state, info.attempts) == expected[type(raised)]


async def test_a_stop_waits_for_the_last_job_to_unwind(queue, make_worker, stage):
    quick, slow = define(obedient, stage), Stage()

    class Slow(quick, name="HandledSlowly", replace=True):
        async def handle(self, ctx: Context) -> None:
            slow.enter(ctx)
            await cleans_up(slow)

    handles = [await queue.dispatch(job()) for job in (quick, Slow)]
    worker = make_worker()
    await worker.start()
    await stage.started.wait()
    await slow.started.wait()
    stopping = asyncio.create_task(worker.stop())
    await until(lambda: worker.busy == 1)
    await settled(stopping)
    slow.proceed.set()
    await stopping
    for handle in handles:
        info = await handle.status()
        assert (info.state, info.attempts) == (State.PENDING, 0)


async def test_a_worker_that_waits_for_jobs_ends_at_once(make_worker):
    worker = make_worker(poll_interval=1_000, drain_timeout=1_000)
    await worker.start()
    await until(lambda: worker._shift._consumers[0].looked_at >= 0)
    async with asyncio.timeout(PATIENCE):
        await worker.stop()


async def test_hurry_skips_the_rest_of_the_grace(queue, make_worker, stage):
    await queue.dispatch(define(obedient, stage)())
    worker = make_worker(grace=1000)
    await worker.start()
    await stage.started.wait()
    stopping = asyncio.create_task(worker.stop())
    await settled(stopping)
    worker.hurry()
    async with asyncio.timeout(PATIENCE):
        await stopping


async def test_a_second_cancellation_of_run_skips_the_rest_of_the_grace(queue, make_worker, stage):
    await queue.dispatch(define(obedient, stage)())
    worker = make_worker(grace=1000)
    running = asyncio.create_task(worker.run())
    await stage.started.wait()
    running.cancel()
    await settled(running)
    running.cancel()
    async with asyncio.timeout(PATIENCE):
        assert await running is None


async def test_hurry_before_a_stop_changes_nothing(queue, make_worker, stage):
    make_worker().hurry()
    handle = await queue.dispatch(define(deaf, stage)())
    worker = make_worker()
    await worker.start()
    await stage.started.wait()
    stage.ctx.cancelled.is_set()
    stage.proceed.set()
    assert (await handle.status()).state is State.PROCESSING
    await worker.stop()


# stop() itself


@pytest.mark.case("SHD-12")
async def test_stop_is_harmless_before_a_start_after_an_end_and_at_the_same_time(make_worker):
    worker = make_worker()
    await worker.stop()
    await worker.start()
    await asyncio.gather(*(worker.stop() for _ in range(5)))
    await worker.stop()
    assert not worker.running


async def test_stop_with_a_timeout_leaves_a_deaf_handler_at_once(queue, make_worker, stage, caplog):
    handle = await queue.dispatch(define(deaf, stage)())
    worker = make_worker(drain_timeout=None)
    await worker.start()
    await stage.started.wait()
    started = time.monotonic()
    await worker.stop(timeout=0.05)
    assert time.monotonic() - started < PATIENCE
    assert not worker.running
    assert "leaks" in caplog.text
    assert (await handle.status()).state is State.PROCESSING


@pytest.mark.parametrize("timeout", [0, 0.02, -1])
async def test_stop_with_a_timeout_within_the_grace_still_lets_jobs_unwind(
    queue, make_worker, stage, timeout, caplog
):
    handle = await queue.dispatch(define(obedient, stage)())
    worker = make_worker(grace=1000)
    await worker.start()
    await stage.started.wait()
    await worker.stop(timeout)
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 0)
    assert "leaks" not in caplog.text


async def test_a_second_stop_can_bound_the_first(queue, make_worker, stage):
    await queue.dispatch(define(deaf, stage)())
    worker = make_worker(drain_timeout=None)
    await worker.start()
    await stage.started.wait()
    first = asyncio.create_task(worker.stop())
    await settled(first)
    await worker.stop(timeout=0.02)
    await first


async def test_the_drain_may_be_without_bound(queue, make_worker, clock, stage):
    handle = await queue.dispatch(define(cleans_up, stage)())
    worker = make_worker(drain_timeout=None)
    await worker.start()
    await stage.started.wait()
    stopping = asyncio.create_task(worker.stop())
    await stage.cancelled.wait()
    clock.advance(600)
    await settled(stopping)
    stage.proceed.set()
    await stopping
    assert (await handle.status()).attempts == 0


@pytest.mark.case("WRK-11")
async def test_starting_twice_at_once_starts_one_worker(queue, make_worker, events, stage):
    job = define(obedient, stage)
    await queue.dispatch_many([job() for _ in range(6)])
    worker = make_worker(concurrency=2)
    await asyncio.gather(worker.start(), worker.start(), worker.start())
    await events.wait_for(JobProcessing, 2)
    await worker.start()
    assert len(await queue.workers()) == 1
    assert len(events.of(WorkerStarted)) == 1
    await worker.stop()
    assert len(events.of(JobProcessing)) == 2


async def test_a_start_that_is_cancelled_leaves_nothing_running(make_worker, make_queue):
    entered = asyncio.Event()

    class Slow:
        async def __aenter__(self):
            entered.set()
            await asyncio.sleep(0)
            return self

        async def __aexit__(self, *exc_info):
            entered.clear()

    worker = make_worker(services=[Slow()])
    starting = asyncio.create_task(worker.start())
    await entered.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not worker.running
    assert not entered.is_set()


# From odd places


@pytest.mark.parametrize("bound", [None, 5])
async def test_a_handler_may_stop_its_worker(queue, make_worker, events, stage, bound):
    worker = make_worker()

    async def stops(_stage):
        await worker.stop(bound)
        return "stopped"

    handle = await queue.dispatch(define(stops, stage)())
    await worker.start()
    async with asyncio.timeout(PATIENCE):
        await worker._ended()
    assert await handle.result() == "stopped"
    assert [type(e) for e in events.of(JobProcessed)] == [JobProcessed]


async def test_a_plain_handler_may_stop_its_worker(queue, make_worker):
    worker = make_worker()

    class Stops(Job):
        def handle(self, ctx: Context) -> str:
            anyio.from_thread.run(worker.stop)
            return "stopped"

    handle = await queue.dispatch(Stops())
    async with asyncio.timeout(PATIENCE):
        await worker.run()
    assert await handle.result() == "stopped"


@pytest.mark.parametrize("bound", [None, 5])
async def test_a_failed_hook_may_stop_its_worker(queue, make_worker, bound, caplog):
    worker = make_worker()
    hooked = []

    class Breaks(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

        async def failed(self, ctx: Context, error: BaseException) -> None:
            await worker.stop(bound)
            hooked.append(error)

    await queue.dispatch(Breaks())
    async with asyncio.timeout(PATIENCE):
        await worker.run()
    assert len(hooked) == 1


@pytest.mark.parametrize("heard", [JobProcessing, JobProcessed, WorkerStarted, WorkerStopping])
async def test_a_listener_may_stop_the_worker(queue, make_worker, stage, heard):
    worker = make_worker()
    returned = []

    async def listener(event):
        await worker.stop()
        returned.append(event)

    async def at_once(_stage):
        return None

    queue.on(heard, listener)
    await queue.dispatch(define(at_once, stage)())
    async with asyncio.timeout(PATIENCE):
        if heard is WorkerStopping:
            async with worker:
                pass
        else:
            await worker.run()
    assert returned


async def test_a_listener_that_heard_a_dispatch_first_may_stop_the_worker(
    queue, make_worker, events
):
    """The listener's asyncio task began outside of the worker, and the stop comes from it."""
    worker = make_worker()
    proceed = asyncio.Event()

    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    async def listener(event):
        await proceed.wait()
        if isinstance(event, JobProcessed):
            await worker.stop()

    queue.on(JobEvent, listener)
    await queue.dispatch(Quick())
    await worker.start()
    await events.wait_for(JobProcessed)
    proceed.set()
    async with asyncio.timeout(PATIENCE):
        await worker._ended()


async def test_a_plain_listener_may_ask_for_a_stop(queue, make_worker, stage):
    worker = make_worker()
    stops = []
    queue.on(JobProcessing, lambda _: stops.append(asyncio.ensure_future(worker.stop())))
    handle = await queue.dispatch(define(obedient, stage)())
    async with asyncio.timeout(PATIENCE):
        await worker.run()
    await asyncio.gather(*stops)
    assert (await handle.status()).attempts == 0


async def test_another_worker_of_the_process_can_be_stopped_and_awaited(queue, make_worker, stage):
    other = make_worker("others")

    async def stops(_stage):
        await other.stop()
        return other.running

    handle = await queue.dispatch(define(stops, stage)())
    await other.start()
    async with make_worker():
        assert await handle.result(PATIENCE) is False


# At odd moments


@pytest.mark.case("SHD-02")
async def test_a_claim_in_flight_does_not_hold_up_the_cancellation(weak, make_worker, stage):
    """What runs is cancelled at once, whatever the store is doing."""
    job = define(obedient, stage)
    await weak.dispatch(job())
    worker = make_worker(on=weak, concurrency=2)
    await worker.start()
    await stage.started.wait()
    weak.driver.held["claim"] = asyncio.Event()
    calls = weak.driver.calls["claim"]
    # Not the one that was under way already, which might bring the second job at once.
    await until(lambda: weak.driver.calls["claim"] > calls)
    second = await weak.dispatch(job())
    stopping = asyncio.create_task(worker.stop())
    async with asyncio.timeout(PATIENCE):
        await stage.cancelled.wait()
    await settled(stopping)
    weak.driver.held.pop("claim").set()
    await stopping
    info = await second.status()
    assert (info.state, info.attempts) == (State.PENDING, 0)
    assert len(stage.contexts) == 1


async def test_what_a_late_claim_brings_is_handed_back(weak, make_worker, stage):
    weak.driver.late["claim"] = asyncio.Event()
    handle = await weak.dispatch(define(obedient, stage)())
    worker = make_worker(on=weak)
    await worker.start()
    while (await handle.status()).state is not State.PROCESSING:
        await asyncio.sleep(0)
    stopping = asyncio.create_task(worker.stop())
    await settled(stopping)
    weak.driver.late.pop("claim").set()
    await stopping
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 0)
    assert stage.contexts == []


async def test_a_claim_that_never_answers_does_not_hold_up_a_bounded_stop(
    weak, make_worker, caplog
):
    weak.driver.held["claim"] = asyncio.Event()
    worker = make_worker(on=weak)
    await worker.start()
    await until(lambda: weak.driver.calls["claim"])
    async with asyncio.timeout(PATIENCE):
        await worker.stop(timeout=0.02)
    assert "Cannot claim jobs" not in caplog.text  # It was given up, and did not fail.
    assert "does not wait" not in caplog.text


async def test_a_settlement_in_flight_is_waited_for(weak, make_worker, stage):
    async def at_once(_stage):
        return 1

    weak.driver.held["settle"] = asyncio.Event()
    events = Recorder(weak)
    handle = await weak.dispatch(define(at_once, stage)())
    worker = make_worker(on=weak)
    await worker.start()
    await until(lambda: weak.driver.calls["settle"])
    stopping = asyncio.create_task(worker.stop())
    await settled(stopping)
    assert events.of(JobProcessed) == []  # Nothing is said before the store shows it.
    weak.driver.held.pop("settle").set()
    await stopping
    assert await handle.result() == 1
    assert len(events.of(JobProcessed)) == 1


async def test_in_an_outage_jobs_come_back_by_their_lease(weak, make_worker, stage, clock, caplog):
    handle = await weak.dispatch(define(obedient, stage)())
    worker = make_worker(on=weak, lease=60)
    await worker.start()
    await stage.started.wait()
    weak.driver.broken.update(["settle", "claim"])
    async with asyncio.timeout(PATIENCE):
        await worker.stop(timeout=0.02)
    assert "1 outcomes could not be stored" in caplog.text
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PROCESSING, 1)
    weak.driver.broken.clear()
    clock.advance(60)
    await weak.driver.sweep()
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 1)


async def test_an_outage_that_ends_in_time_costs_nothing(weak, make_worker, stage, caplog):
    handle = await weak.dispatch(define(obedient, stage)())
    worker = make_worker(on=weak)
    await worker.start()
    await stage.started.wait()
    weak.driver.broken.add("settle")
    stopping = asyncio.create_task(worker.stop())
    await until(lambda: weak.driver.calls["settle"] >= 2)
    weak.driver.broken.clear()
    await stopping
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 0)


async def test_a_failed_hook_is_waited_for(queue, make_worker, stage):
    async def hook(self, ctx, error):
        stage.started.set()
        await stage.proceed.wait()
        stage.hooked.append(error)

    class Breaks(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

        failed = hook

    await queue.dispatch(Breaks())
    worker = make_worker()
    await worker.start()
    await stage.started.wait()
    stopping = asyncio.create_task(worker.stop())
    ended, _ = await asyncio.wait([stopping], timeout=0.1)
    assert not ended
    stage.proceed.set()
    await stopping
    assert len(stage.hooked) == 1


# The queue's own end


@pytest.mark.case("SHD-13")
async def test_shutdown_waits_for_work_in_flight(queue, make_worker, stage, events):
    async def until_told(stage):
        await stage.proceed.wait()
        return 1

    await queue.dispatch(define(until_told, stage)())
    await make_worker().start()
    await stage.started.wait()
    closing = asyncio.create_task(queue.shutdown(1000))
    await settled(closing)
    assert not stage.ctx.cancelled.is_set()
    stage.proceed.set()
    await closing
    assert len(events.of(JobProcessed)) == 1


@pytest.mark.case("SHD-13")
@pytest.mark.parametrize("handling", [obedient, deaf, swallows_and_raises])
async def test_shutdown_returns_at_its_deadline(queue, make_worker, stage, handling):
    await queue.dispatch(define(handling, stage)())
    worker = make_worker()
    await worker.start()
    await stage.started.wait()
    async with asyncio.timeout(PATIENCE):
        await queue.shutdown(0.05)
    assert not worker.running


async def test_shutdown_returns_at_its_deadline_with_a_plain_job(queue, make_worker, stage):
    await queue.dispatch(define_plain(stage)())
    worker = make_worker()
    await worker.start()
    await stage.started.wait()
    async with asyncio.timeout(PATIENCE):
        await queue.shutdown(0.05)
    stage.thread_may_end.set()


@pytest.mark.case("SHD-14")
@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_shutdown_that_comes_too_late_is_prompt_and_a_second_one_harmless(
    queue, make_worker, stage, timeout
):
    await queue.dispatch(define(obedient, stage)())
    await make_worker().start()
    await stage.started.wait()
    async with asyncio.timeout(PATIENCE):
        await queue.shutdown(timeout)
        await queue.shutdown(timeout)
        await queue.shutdown(100)


@pytest.mark.case("SHD-19")
async def test_after_its_end_a_queue_refuses_every_call(queue, make_worker):
    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    handle = await queue.dispatch(Quick())
    waiting = asyncio.create_task(handle.result())
    await asyncio.sleep(0)
    await queue.close()
    calls = [
        lambda: queue.dispatch(Quick()),
        lambda: queue.dispatch_many([Quick()]),
        lambda: queue.dispatch_named("Quick", {}),
        lambda: queue.size("default"),
        lambda: queue.clear("default"),
        lambda: queue.status(handle.id),
        queue.jobs,
        queue.stats,
        lambda: queue.cancel(handle.id),
        lambda: queue.pause("default"),
        lambda: queue.resume("default"),
        queue.paused,
        queue.workers,
        queue.ping,
        queue.failed.list,
        lambda: queue.failed.get("x"),
        lambda: queue.failed.retry("x"),
        queue.failed.retry_all,
        lambda: queue.failed.forget("x"),
        queue.failed.flush,
        lambda: queue.failed.prune(1),
        handle.status,
        handle.result,
        handle.cancel,
        lambda: make_worker().start(),
        lambda: make_worker().run(),
    ]
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(QueueClosed):
            await waiting
        for call in calls:
            with pytest.raises(QueueClosed):
                await call()


async def test_a_job_of_a_worker_stopped_in_its_failure_still_fails(queue, make_worker, stage):
    """The failure was decided before the stop: it stands, hook and event included."""

    async def breaks(_stage):
        raise ValueError("broken")

    events = Recorder(queue)
    worker = make_worker()
    queue.on(JobFailed, lambda _: asyncio.ensure_future(worker.stop()))
    await queue.dispatch(define(breaks, stage, max_attempts=1)())
    async with asyncio.timeout(PATIENCE):
        await worker.run()
    assert len(stage.hooked) == 1
    assert len(events.of(JobFailed)) == 1
