"""Attempts: who spends them, whose number counts, and what outlives the worker that made them."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from asyncqueue import (
    Context,
    Job,
    JobFailed,
    JobProcessed,
    JobProcessing,
    JobRetrying,
    Settings,
    State,
)

from ..recorder import PATIENCE, Recorder, until
from .frail import frail


@pytest.fixture
def make_worker(make_worker):
    """These tests jump over leases."""
    return partial(make_worker, lease=1_000_000)


def breaking(**options):
    class Breaks(Job, replace=True, **options):
        async def handle(self, ctx: Context) -> None:
            raise ValueError(f"broken in attempt {ctx.attempt}")

    return Breaks


async def waits_until_failed(worker, clock, events):
    """Let the worker run until the only job has failed; answers the waits between its runs."""
    async with worker:
        while not events.of(JobFailed):
            known = len(events.of(JobRetrying))
            await until(lambda n=known: events.of(JobFailed) or len(events.of(JobRetrying)) > n)
            clock.advance(1000)
    return [event.delay for event in events.of(JobRetrying)]


@pytest.mark.case("RTY-27")
async def test_three_retries_thirty_seconds_apart_are_four_runs(queue, make_worker, clock, events):
    await queue.dispatch(breaking(max_retries=3, backoff=30)())
    assert await waits_until_failed(make_worker(), clock, events) == [30, 30, 30]
    assert len(events.of(JobProcessing)) == 4


async def test_attempts_that_follow_each_other_at_once_are_told_as_well(
    queue, make_worker, clock, events
):
    handle = await queue.dispatch(breaking(max_attempts=3, backoff=0)())
    assert await waits_until_failed(make_worker(), clock, events) == [0, 0]
    told = [(one.number, one.error) for one in (await handle.status()).history]
    assert told == [(n, f"ValueError: broken in attempt {n}") for n in (1, 2, 3)]


@pytest.mark.case("RTY-28")
async def test_the_settings_decide_for_jobs_that_say_nothing(make_queue, make_worker, clock):
    queue = make_queue(settings=Settings(max_attempts=4, retry_delay=1))
    events = Recorder(queue)
    await queue.dispatch(breaking()())
    assert await waits_until_failed(make_worker(on=queue), clock, events) == [1, 1, 1]
    assert len(events.of(JobProcessing)) == 4


class PermanentError(Exception):
    pass


@pytest.mark.case("RTY-10", "RTY-25")
async def test_a_permanent_error_ends_a_job_on_its_first_run(queue, make_worker, events):
    class Picky(Job, max_attempts=5):
        async def handle(self, ctx: Context) -> None:
            raise PermanentError

        def should_retry(self, error: Exception) -> bool:
            return not isinstance(error, PermanentError)

    handle = await queue.dispatch(Picky())
    async with make_worker():
        await events.wait_for(JobFailed)
    assert len(events.of(JobProcessing)) == 1
    assert (await queue.failed.get(handle.id)).attempts == 1


@pytest.mark.case("RTY-13")
async def test_a_job_of_its_own_id_counts_under_that_id(queue, make_worker, events):
    attempts = []

    class Breaks(Job, max_attempts=2, backoff=0):
        async def handle(self, ctx: Context) -> None:
            attempts.append((ctx.job_id, ctx.attempt))
            raise ValueError

    await queue.dispatch(Breaks(), id="order-7")
    async with make_worker():
        await events.wait_for(JobFailed)
    assert attempts == [("order-7", 1), ("order-7", 2)]


@pytest.mark.case("RTY-01")
async def test_a_job_that_ended_and_was_not_settled_runs_again(
    driver, make_queue, make_worker, clock, caplog
):
    """Its worker dies between the two; here it gives up, which the store cannot tell apart."""
    weak = frail(driver)
    queue = make_queue(weak)
    effects = []

    class Counts(Job):
        async def handle(self, ctx: Context) -> None:
            effects.append(ctx.attempt)

    handle = await queue.dispatch(Counts())
    dying = make_worker(on=queue, lease=60)
    weak.broken.add("settle")
    await dying.start()
    await until(lambda: weak.calls["settle"])
    await dying.stop(timeout=0)
    assert effects == [1]
    assert (await handle.status()).state is State.PROCESSING
    weak.broken.clear()
    clock.advance(60)
    events = Recorder(queue)
    async with make_worker(on=queue, lease=60):
        await events.wait_for(JobProcessed)
    assert effects == [1, 2]
    assert (await handle.status()).attempts == 2


@pytest.mark.case("RTY-20", "DRV-24")
async def test_between_two_attempts_nobody_has_the_job(queue, make_worker, clock, events):
    running, go_on = asyncio.Event(), asyncio.Event()

    class Waits(Job, backoff=30):
        async def handle(self, ctx: Context) -> None:
            running.set()
            await go_on.wait()
            raise ValueError("not yet")

    handle = await queue.dispatch(Waits())
    async with make_worker() as worker:
        await running.wait()
        info = await handle.status()
        assert (info.state, info.worker, info.attempts) == (State.PROCESSING, worker.id, 1)
        assert info.started_at == clock.now()
        go_on.set()
        await events.wait_for(JobRetrying)
    info = await handle.status()
    assert (info.state, info.worker, info.attempts) == (State.DELAYED, None, 1)
    assert (info.available_at - clock.now()).total_seconds() == 30
    assert info.error == "ValueError: not yet"
    with pytest.raises(TimeoutError):
        await handle.result(timeout=0)


@pytest.mark.case("RTY-02", "FLD-16")
async def test_a_job_that_used_up_its_attempts_failed_once(queue, make_worker, events):
    hooked = []

    class Breaks(Job, max_retries=2, backoff=0):
        async def handle(self, ctx: Context) -> None:
            raise ValueError(ctx.attempt)

        async def failed(self, ctx: Context, error: BaseException) -> None:
            hooked.append((ctx.attempt, ctx.job_id, str(error)))

    handle = await queue.dispatch(Breaks())
    async with make_worker():
        async with asyncio.timeout(PATIENCE):
            await events.wait_for(JobFailed)
        await until(lambda: hooked)
    assert hooked == [(3, handle.id, "3")]
    assert (await queue.failed.list()).total == 1
