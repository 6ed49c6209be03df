"""A worker ends when it was told to, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import math

import pytest

from asyncqueue import (
    AsyncQueueError,
    Context,
    Job,
    JobProcessing,
    JobQueued,
    QueueClosed,
    State,
    Trace,
    WorkerStopping,
    current_trace,
    use_trace,
)
from asyncqueue.events import JobCancelled

from ..recorder import PATIENCE, until
from .stopping import Stage, deaf, define, obedient


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    stage.proceed.set()


async def test_a_bounded_stop_does_not_wait_for_a_listener(queue, make_worker, stage, caplog):
    async def hangs(event):
        await stage.proceed.wait()

    queue.on(WorkerStopping, hangs)
    worker = make_worker()
    await worker.start()
    async with asyncio.timeout(PATIENCE):
        await worker.stop(timeout=0.02)
    assert not worker.running
    assert "does not wait for services and listeners" in caplog.text


async def test_a_bounded_stop_does_not_wait_for_a_service(queue, make_worker, stage, monkeypatch):
    monkeypatch.setattr("asyncqueue.worker.worker.LAST_BREATH", 0.05)
    left = []

    @contextlib.asynccontextmanager
    async def before():
        try:
            yield 1
        finally:
            left.append("before")

    @contextlib.asynccontextmanager
    async def hangs():
        try:
            yield 1.0
        finally:
            await stage.proceed.wait()

    worker = make_worker(services=[before, hangs])
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.running)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(worker.stop(timeout=0.02), worker.stop())
        await running
    assert not worker.running
    assert left == ["before"]
    await worker.start()
    await worker.stop(timeout=0.02)


async def test_a_bounded_stop_ends_a_start_that_hangs(queue, make_worker, stage):
    @contextlib.asynccontextmanager
    async def hangs():
        stage.started.set()
        await stage.proceed.wait()
        yield 1

    worker = make_worker(services=[hangs])
    starting = asyncio.create_task(worker.start())
    await stage.started.wait()
    async with asyncio.timeout(PATIENCE):
        await worker.stop(timeout=0.02)
        await starting
    assert not worker.running


async def test_neither_a_timer_nor_its_queue_outlives_the_worker(queue, make_worker, clock, stage):
    await queue.ready()
    before = clock.pending
    for _ in range(3):
        worker = make_worker(grace=3600, max_time=7200)
        await worker.start()
        await asyncio.gather(worker.stop(), worker.stop())
    await queue.dispatch(define(deaf, stage, timeout=7200)())
    worker = make_worker(drain_timeout=0)
    await worker.start()
    await stage.started.wait()
    await worker.stop()  # It leaks.
    await until(lambda: clock.pending == before)
    assert not queue._workers


@pytest.mark.parametrize(("ago", "left"), [(-math.inf, 10), (3, 7), (100, 4)])
async def test_what_jobs_took_of_the_time_to_stop_is_not_there_for_the_store(
    make_worker, ago, left
):
    """But a part of it always is."""
    async with make_worker(drain_timeout=10) as worker:
        worker._shift._hurried_at = asyncio.get_running_loop().time() - ago
        assert worker._shift.patience() == pytest.approx(left, abs=0.5)
        worker.hurry()  # Once more.
        assert worker._shift.patience() == pytest.approx(left, abs=0.5)


async def test_a_job_that_was_cancelled_before_its_first_step_is_handed_back(
    queue, driver, make_worker, stage
):
    """As by the end of ``asyncio.run()``, which spares nobody."""
    claim, loop = driver.claim, asyncio.get_running_loop()

    def end_of_the_loop():
        (run,) = worker._shift._holdings.runs()
        run.task.cancel()
        worker._main.cancel()

    async def claims(*args):
        claimed = await claim(*args)
        if claimed.claims:
            loop.call_soon(end_of_the_loop)  # Before the task that the worker makes of it.
        return claimed

    driver.claim = claims
    handle = await queue.dispatch(define(obedient, stage)())
    worker = make_worker()
    async with asyncio.timeout(PATIENCE):
        await worker.start()
        await until(lambda: not worker.running)
    info = await handle.status()
    assert (info.state, info.attempts, stage.contexts) == (State.PENDING, 0, [])


async def test_a_second_stop_does_not_begin_the_grace_again(queue, make_worker, clock, stage):
    await queue.dispatch(define(obedient, stage, timeout=600)())
    worker = make_worker(grace=60)
    await worker.start()
    await stage.started.wait()
    first = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    clock.advance(50)
    second = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    clock.advance(11)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(first, second)
    assert stage.ctx.cause == "shutdown"


async def test_a_prefetched_job_that_is_cancelled_is_told(queue, make_worker, events, stage):
    job = define(obedient, stage)
    _, second = await queue.dispatch_many([job(), job()])
    async with make_worker(concurrency=1, prefetch=1):
        while (await second.status()).state is not State.PROCESSING:
            await asyncio.sleep(0)
        assert await second.cancel()
        (event,) = await events.wait_for(JobCancelled)
        assert event.job_id == second.id
        info = await second.status()
        assert (info.state, info.attempts) == (State.CANCELLED, 0)
    assert len(stage.contexts) == 1


@pytest.mark.parametrize("max_jobs", [None, 2])
async def test_a_prefetched_job_that_is_cancelled_makes_room(queue, make_worker, stage, max_jobs):
    """For another one, which counts in its place."""
    job = define(obedient, stage)
    _, second, third = await queue.dispatch_many([job(), job(), job()])
    async with make_worker(concurrency=1, prefetch=1, max_jobs=max_jobs), asyncio.timeout(PATIENCE):
        while (await second.status()).state is not State.PROCESSING:
            await asyncio.sleep(0.001)
        assert (await third.status()).state is State.PENDING
        await second.cancel()
        while (await third.status()).state is not State.PROCESSING:
            await asyncio.sleep(0.001)


def breaking(hook):
    class Breaks(Job, max_attempts=1, replace=True):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

        async def failed(self, ctx: Context, error: BaseException) -> None:
            hook()

    return Breaks


async def test_a_hook_has_the_trace_of_its_job(queue, make_worker):
    traces = []
    trace = Trace("1" * 32, "2" * 16)
    with use_trace(trace):
        await queue.dispatch(breaking(lambda: traces.append(current_trace()))())
    async with make_worker():
        await until(lambda: traces)
    assert traces == [trace]


async def test_a_cancellation_of_the_hooks_own_making_is_logged(queue, make_worker, caplog):
    called = []

    def hook():
        called.append(1)
        raise asyncio.CancelledError

    await queue.dispatch(breaking(hook)())
    async with make_worker():
        await until(lambda: called)
    assert "Breaks.failed raised" in caplog.text


@pytest.mark.parametrize("step", ["close", "shutdown"])
async def test_a_listener_cannot_close_its_queue(queue, make_worker, step):
    """It would take the store away from a job whose outcome is not stored yet."""
    refused = []

    class Works(Job):
        async def handle(self, ctx: Context) -> int:
            return 1

    async def closes(event):
        try:
            await (queue.close() if step == "close" else queue.shutdown(1))
        except AsyncQueueError as error:
            refused.append(str(error))

    queue.on(JobProcessing, closes)
    async with make_worker() as worker:
        handle = await queue.dispatch(Works())
        assert await handle.result(PATIENCE) == 1
        await until(lambda: refused)
        assert worker.running
    assert "cannot close the queue that it belongs to" in refused[0]


async def test_a_cancelled_close_goes_on_to_its_end(queue, driver):
    class Waits(Job):
        async def handle(self, ctx: Context) -> None: ...

    heard = asyncio.Event()
    hearing = asyncio.Event()

    async def slow(event):
        hearing.set()
        await heard.wait()

    queue.on(JobQueued, slow)
    await queue.dispatch(Waits())
    await hearing.wait()
    closing = asyncio.create_task(queue.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    again = asyncio.create_task(queue.close())
    heard.set()
    async with asyncio.timeout(PATIENCE):
        await again
    with pytest.raises(QueueClosed):
        await queue.dispatch(Waits())


@pytest.mark.parametrize("ending", ["cancel", "stop"])
async def test_a_service_that_hangs_while_it_is_entered_holds_up_no_end(queue, make_worker, ending):
    entering = asyncio.Event()
    left = []

    @contextlib.asynccontextmanager
    async def hangs():
        entering.set()
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            left.append("hangs")

    worker = make_worker(services=[hangs])
    running = asyncio.create_task(worker.run())
    await entering.wait()
    async with asyncio.timeout(PATIENCE):
        if ending == "cancel":
            running.cancel()
        else:
            await worker.stop()
        await running
    assert not worker.running
    assert left == ["hangs"]


async def test_a_run_that_was_cancelled_leaves_its_task_uncancelled(make_worker):
    worker = make_worker()

    async def run():
        await worker.run()
        return asyncio.current_task().cancelling()

    running = asyncio.create_task(run())
    await until(lambda: worker.running)
    running.cancel()
    assert await running == 0
