"""The first three rows of the shutdown table and the deaf one: every trigger, every handler."""

from __future__ import annotations

import asyncio
import logging

import pytest

from asyncqueue import Event, JobProcessed, JobProcessing, Queue, State, Worker
from asyncqueue.record import Filter

from ..recorder import PATIENCE, Recorder, until
from .stopping import (
    TRIGGERS,
    UNWINDING,
    Stage,
    by_closing_the_queue,
    by_stop,
    cleans_up,
    deaf,
    define,
    define_plain,
    obedient,
    swallows_and_raises,
    swallows_and_returns,
)


@pytest.fixture(autouse=True)
def _on_a_busy_machine(monkeypatch):
    """A loop that has no turn for a second is told in the log, and is no concern of these."""
    monkeypatch.setattr("asyncqueue.worker.heartbeat.BLOCKED_AFTER", PATIENCE)


triggers = pytest.mark.parametrize("trigger", TRIGGERS)


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    stage.proceed.set()
    stage.thread_may_end.set()


async def stored(driver, job_id):
    """The job as the store shows it, whether or not its queue was closed."""
    await driver.open()
    return (await driver.find(Filter(ids=(job_id,)))).items[0]


def warnings(caplog):
    return [r for r in caplog.records if r.levelno >= logging.WARNING]


async def started(stage):
    async with asyncio.timeout(PATIENCE):
        await stage.started.wait()


@pytest.mark.case("SHD-02", "SHD-03", "SHD-04", "SHD-05", "WRK-13", "WRK-18")
@triggers
@pytest.mark.parametrize("handling", UNWINDING)
async def test_an_interrupted_job_goes_back_as_if_it_had_not_run(
    trigger, handling, driver, queue, make_worker, events, stage, caplog
):
    handle = await queue.dispatch(define(handling, stage, max_attempts=1)())
    worker = make_worker()
    async with trigger(worker) as stop:
        await started(stage)
        async with asyncio.timeout(PATIENCE):
            await stop()
    assert stage.cancelled.is_set()
    assert stage.ctx.cause == "shutdown"
    assert stage.ctx.cancelled.is_set()
    job = await stored(driver, handle.id)
    assert (job.state, job.attempts, job.error) == (State.PENDING, 0, None)
    assert job.available_at == job.created_at
    assert events.of_jobs() == ["JobQueued", "JobProcessing"]
    assert stage.hooked == []
    assert not warnings(caplog)
    assert not worker.running


@triggers
async def test_a_success_while_stopping_is_a_success(
    trigger, driver, queue, make_worker, events, stage, caplog
):
    handle = await queue.dispatch(define(swallows_and_returns, stage)())
    async with trigger(make_worker()) as stop:
        await started(stage)
        await stop()
    job = await stored(driver, handle.id)
    assert (job.state, job.attempts) == (State.COMPLETED, 1)
    assert events.of_jobs() == ["JobQueued", "JobProcessing", "JobProcessed"]
    assert not warnings(caplog)


@pytest.mark.case("SHD-08")
@triggers
async def test_an_error_while_stopping_is_one_warning_and_no_failure(
    trigger, driver, queue, make_worker, events, stage, caplog
):
    handle = await queue.dispatch(define(swallows_and_raises, stage, max_attempts=1)())
    async with trigger(make_worker()) as stop:
        await started(stage)
        await stop()
    job = await stored(driver, handle.id)
    assert (job.state, job.attempts) == (State.PENDING, 0)
    assert events.of_jobs() == ["JobQueued", "JobProcessing"]
    assert stage.hooked == []
    (warning,) = warnings(caplog)
    assert warning.levelno == logging.WARNING
    assert "broke while unwinding" in warning.getMessage()


@pytest.mark.case("SHD-09", "SHD-17")
@triggers
async def test_a_deaf_handler_is_left_to_its_lease_after_the_drain(
    trigger, driver, clock, queue, make_worker, events, stage, caplog
):
    handle = await queue.dispatch(define(deaf, stage)())
    worker = make_worker(lease=60, drain_timeout=5)
    async with trigger(worker) as stop:
        await started(stage)
        stopping = asyncio.create_task(stop())
        await stage.cancelled.wait()
        clock.advance(4.9)
        await asyncio.wait([stopping], timeout=0.02)
        assert worker.running
        clock.advance(0.2)
        async with asyncio.timeout(PATIENCE):
            await stopping
    job = await stored(driver, handle.id)
    assert (job.state, job.attempts) == (State.PROCESSING, 1)
    (warning,) = warnings(caplog)
    assert warning.levelno == logging.WARNING
    assert "leaks" in warning.getMessage()
    stage.proceed.set()
    await asyncio.sleep(0)
    assert (await stored(driver, handle.id)).state is State.PROCESSING
    assert events.of_jobs() == ["JobQueued", "JobProcessing"]
    clock.advance(60)
    assert await driver.sweep() == 1
    job = await stored(driver, handle.id)
    assert (job.state, job.attempts) == (State.PENDING, 1)


@triggers
async def test_a_handler_may_clean_up_within_the_drain(
    trigger, driver, clock, queue, make_worker, stage, caplog
):
    handle = await queue.dispatch(define(cleans_up, stage)())
    async with trigger(make_worker(drain_timeout=5)) as stop:
        await started(stage)
        stopping = asyncio.create_task(stop())
        await stage.cancelled.wait()
        clock.advance(4)
        stage.proceed.set()
        await stopping
    job = await stored(driver, handle.id)
    assert (job.state, job.attempts) == (State.PENDING, 0)
    assert not warnings(caplog)


@pytest.mark.case("SHD-01", "SHD-10")
@triggers
async def test_a_plain_job_runs_to_its_end(
    trigger, driver, queue, make_worker, events, stage, caplog
):
    handle = await queue.dispatch(define_plain(stage)())
    async with trigger(make_worker()) as stop:
        await started(stage)
        stopping = asyncio.create_task(stop())
        await until(stage.ctx.cancelled.is_set)
        assert stage.ctx.cause == "shutdown"
        stage.thread_may_end.set()
        await stopping
    assert (await stored(driver, handle.id)).state is State.COMPLETED
    assert events.of_jobs() == ["JobQueued", "JobProcessing", "JobProcessed"]
    assert not warnings(caplog)


@triggers
async def test_a_plain_job_that_takes_too_long_is_left_to_its_lease(
    trigger, driver, clock, queue, make_worker, stage, caplog
):
    handle = await queue.dispatch(define_plain(stage)())
    async with trigger(make_worker(drain_timeout=5)) as stop:
        await started(stage)
        stopping = asyncio.create_task(stop())
        await until(stage.ctx.cancelled.is_set)
        clock.advance(5)
        async with asyncio.timeout(PATIENCE):
            await stopping
    assert (await stored(driver, handle.id)).state is State.PROCESSING
    (warning,) = warnings(caplog)
    assert "leaks" in warning.getMessage()
    stage.thread_may_end.set()


@pytest.mark.case("SHD-11")
@triggers
async def test_nothing_starts_after_a_stop(trigger, driver, queue, make_worker, events, stage):
    job = define(obedient, stage)
    first, *others = await queue.dispatch_many([job() for _ in range(5)])
    async with trigger(make_worker(concurrency=1, prefetch=2)) as stop:
        await started(stage)
        await until(lambda: True)
        await stop()
    assert [event.job_id for event in events.of(JobProcessing)] == [first.id]
    for handle in others:
        job = await stored(driver, handle.id)
        assert (job.state, job.attempts) == (State.PENDING, 0)


@pytest.mark.case("SHD-06")
async def test_an_interrupted_job_is_the_first_to_run_again(queue, make_worker, events, stage):
    job = define(obedient, stage)
    first = await queue.dispatch(job())
    async with make_worker(concurrency=1):
        await started(stage)
        others = await queue.dispatch_many([job(), job()])

    async def at_once(_stage):
        return None

    define(at_once, stage)
    async with make_worker(concurrency=1):
        done = await events.wait_for(JobProcessed, 3)
    assert [event.job_id for event in done] == [first.id, *(other.id for other in others)]


@pytest.mark.case("SHD-07")
async def test_interruptions_spend_no_attempts(queue, make_worker, events, stage):
    """With two attempts and five interruptions, an error is still retried once."""
    handle = await queue.dispatch(define(obedient, stage, max_attempts=2, backoff=0)())
    for _ in range(5):
        stage.started.clear()
        async with make_worker():
            await started(stage)

    async def breaks(_stage):
        raise ValueError("broken")

    define(breaks, stage, max_attempts=2, backoff=0)
    async with make_worker():
        await until(lambda: stage.hooked)
    assert (await handle.status()).attempts == 2
    assert [ctx.attempt for ctx in stage.contexts] == [1] * 6 + [2]


@pytest.mark.case("SHD-15", "WRK-25")
@pytest.mark.parametrize("trigger", [t for t in TRIGGERS if t is not by_closing_the_queue])
async def test_an_idle_worker_stops_at_once_and_can_start_again(
    trigger, queue, make_worker, events, stage
):
    worker = make_worker(concurrency=2)
    for _ in range(2):
        async with trigger(worker) as stop:
            await until(lambda: worker.running)
            async with asyncio.timeout(PATIENCE):
                await stop()
        assert not worker.running

    async def at_once(_stage):
        return 1

    handle = await queue.dispatch(define(at_once, stage)())
    async with trigger(worker) as stop:
        assert await handle.result(PATIENCE) == 1
        await stop()


@pytest.mark.parametrize("kind", ["obedient", "cleans_up", "raises", "plain", "returns"])
async def test_the_end_of_asyncio_run_is_a_stop(kind, driver, caplog):
    """A loop that is closed around the worker cancels everything at once; no job suffers."""
    outcome = await asyncio.to_thread(_torn_down, driver.clone(), kind)
    job = await stored(driver, outcome["id"])
    expected = State.COMPLETED if kind == "returns" else State.PENDING
    assert job.state is expected
    assert job.attempts == (expected is State.COMPLETED)
    said = ["JobQueued", "JobProcessing"]
    if expected is State.COMPLETED:
        said.append("JobProcessed")
    assert outcome["events"].of_jobs() == said
    assert outcome["hooked"] == []
    assert outcome.get("cause", "shutdown") == "shutdown"
    assert len(warnings(caplog)) == (kind == "raises")
    await driver.close()


def _torn_down(driver, kind):
    async def cleans_up_shortly(stage):
        try:
            await stage.wait()
        finally:
            outcome["cause"] = stage.ctx.cause
            for _ in range(5):
                await asyncio.sleep(0)

    handlings = {
        "obedient": obedient,
        "cleans_up": cleans_up_shortly,
        "raises": swallows_and_raises,
        "returns": swallows_and_returns,
    }
    outcome = {}

    async def main():
        stage = Stage()
        queue = Queue(driver)
        outcome["events"] = Recorder(queue)
        outcome["hooked"] = stage.hooked
        job = define_plain(stage) if kind == "plain" else define(handlings[kind], stage)
        outcome["id"] = (await queue.dispatch(job())).id
        # One slot, so that no claim is on its way: a server may do that after the job was put back.
        worker = Worker(queue, concurrency=1, logger=logging.getLogger("tests.worker"))
        await worker.start()
        await started(stage)
        if kind == "plain":
            outcome["may_end"] = stage.loop.call_later(0.1, stage.thread_may_end.set)

    with asyncio.Runner() as runner:
        runner.run(main())
        # What the end of asyncio.run() does; after it nobody could close the driver any more.
        tasks = asyncio.all_tasks(runner.get_loop())
        for task in tasks:
            task.cancel()
        runner.run(settled(tasks))
        runner.run(driver.close())
    return outcome


async def settled(tasks):
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_every_worker_event_is_said_once(queue, make_worker, events):
    async with by_stop(make_worker()) as stop:
        await stop()
    names = [type(event).__name__ for event in events.of(Event)]
    assert names == ["WorkerStarted", "WorkerStopping"]
