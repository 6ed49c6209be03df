"""What operators see, and what workers do for them: numbers, states, removal, recovery."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from asyncqueue import (
    Context,
    Job,
    JobFailed,
    JobNotFound,
    JobProcessed,
    JobReleased,
    JobRetrying,
    QueueBusy,
    QueueStats,
    Retry,
    Settings,
    State,
)
from asyncqueue.record import Source

from ..recorder import PATIENCE, Recorder, until

DAY = 86_400


class Quick(Job, name="LookingQuick"):
    async def handle(self, ctx: Context) -> None: ...


class Breaks(Job, name="LookingBreaks", max_attempts=1):
    async def handle(self, ctx: Context) -> None:
        raise ValueError


@pytest.mark.case("MON-09", "DRV-06")
async def test_statistics_of_every_queue(queue, make_worker, events):
    gate = asyncio.Event()

    class Waits(Job):
        async def handle(self, ctx: Context) -> None:
            await gate.wait()

    await queue.dispatch_many([Quick() for _ in range(7)], queue="emails")
    await queue.dispatch(Breaks(), queue="emails")
    await make_worker("emails", stop_when_empty=True).run()
    await queue.dispatch_many([Waits() for _ in range(7)], queue="emails")
    async with make_worker("emails", concurrency=2):
        await until(lambda: len(events.of_jobs()) >= 8 * 3 + 7 + 2)
        stats = await queue.stats()
        gate.set()
    emails = stats["emails"]
    assert (emails.pending, emails.processing, emails.completed, emails.failed) == (5, 2, 7, 1)
    assert stats["default"] == QueueStats()


@pytest.mark.case("MON-06")
async def test_a_status_goes_through_life_in_order(queue, make_worker, clock):
    running, go_on = asyncio.Event(), asyncio.Event()

    class Waits(Job):
        async def handle(self, ctx: Context) -> None:
            running.set()
            await go_on.wait()

    handle = await queue.dispatch(Waits())
    created = clock.now()
    seen = [await handle.status()]
    clock.advance(1)
    async with make_worker():
        await running.wait()
        seen.append(await handle.status())
        clock.advance(1)
        go_on.set()
        await handle.result(PATIENCE)
    seen.append(await handle.status())
    assert [info.state for info in seen] == ["pending", "processing", "completed"]
    assert {info.created_at for info in seen} == {created}
    second = timedelta(seconds=1)
    assert [info.started_at for info in seen] == [None, created + second, created + second]
    assert [info.finished_at for info in seen] == [None, None, created + 2 * second]


# Removal


@pytest.fixture
def kept(make_queue):
    """A queue whose records are kept for a week; with another interval of removals if given."""
    week = timedelta(days=7)

    def kept(**settings):
        return make_queue(
            settings=Settings(retention=week, failed_retention=week, lease=DAY * 365, **settings)
        )

    return kept


async def run_all(queue, make_worker):
    await make_worker(on=queue, stop_when_empty=True).run()


@pytest.mark.case("MON-10", "MON-11", "CFG-18")
async def test_records_past_their_retention_are_removed_and_live_jobs_are_not(
    kept, driver, make_worker, clock, caplog
):
    caplog.set_level("INFO")
    queue = kept(cleanup_interval=3600)
    old, old_failed = await queue.dispatch(Quick()), await queue.dispatch(Breaks())
    await run_all(queue, make_worker)
    waiting = await queue.dispatch(Quick(), queue="elsewhere")
    delayed = await queue.dispatch(Quick(), delay=30 * DAY)
    held = await queue.dispatch(Quick(), queue="held")
    await driver.claim([Source("held")], 1, DAY * 365, "busy")
    clock.advance(6 * DAY)
    new, new_failed = await queue.dispatch(Quick()), await queue.dispatch(Breaks())
    await run_all(queue, make_worker)
    clock.advance(DAY)
    caplog.clear()
    async with make_worker("nothing", on=queue):
        await until(lambda: "past their retention" in caplog.text)
    for gone in (old, old_failed):
        with pytest.raises(JobNotFound):
            await gone.status()
    assert await driver.prune(7 * DAY) == 0
    left = [(await handle.status()).state for handle in (new, new_failed, waiting, delayed, held)]
    assert left == ["completed", "failed", "pending", "delayed", "processing"]


@pytest.mark.case("MON-10", "CFG-18")
async def test_removals_go_round_every_interval(kept, make_worker, clock, caplog):
    caplog.set_level("INFO")
    queue = kept(cleanup_interval=3600)
    await queue.dispatch(Quick())
    await run_all(queue, make_worker)
    async with make_worker("nothing", on=queue):
        clock.advance(7 * DAY - 1)
        await asyncio.sleep(0.03)
        assert "past their retention" not in caplog.text
        async with asyncio.timeout(PATIENCE):
            while "Removed 1 records past their retention" not in caplog.text:
                clock.advance(3600)  # It may not have been waiting for the last one yet.
                await asyncio.sleep(0.01)


@pytest.mark.case("MON-12")
async def test_without_an_interval_nothing_is_removed(kept, driver, make_worker, clock, caplog):
    caplog.set_level("INFO")
    queue = kept(cleanup_interval=0)
    await queue.dispatch(Quick())
    await queue.dispatch(Breaks())
    await run_all(queue, make_worker)
    async with make_worker("nothing", on=queue):
        for _ in range(10):
            clock.advance(7 * DAY)
            await asyncio.sleep(0.005)
    assert "past their retention" not in caplog.text
    assert await driver.prune(7 * DAY) == 2


# Recovery


@pytest.mark.case("MON-13", "CFG-19")
async def test_a_dead_workers_job_is_taken_back_and_runs(queue, driver, make_worker, clock):
    handle = await queue.dispatch(Quick())
    await driver.claim([Source("default")], 1, 300, "dead")
    clock.advance(300)
    async with make_worker():
        await handle.result(PATIENCE)
    assert (await handle.status()).attempts == 2


@pytest.mark.case("MON-14", "CFG-19")
async def test_a_worker_without_recovery_leaves_it(make_queue, driver, make_worker, clock):
    queue = make_queue(settings=Settings(recovery=False))
    handle = await queue.dispatch(Quick())
    await driver.claim([Source("default")], 1, 300, "dead")
    async with make_worker(on=queue, lease=300):
        for _ in range(10):
            clock.advance(300)
            await asyncio.sleep(0.005)
        info = await handle.status()
        assert (info.state, info.worker, info.attempts) == (State.PROCESSING, "dead", 1)
        assert await driver.sweep() == 1
        await handle.result(PATIENCE)


# Alarms and totals


@pytest.mark.case("MON-15")
async def test_a_queue_beyond_its_threshold_is_told(queue):
    events = Recorder(queue)
    await queue.dispatch_many([Quick() for _ in range(99)], queue="emails")
    await queue.dispatch(Quick(), queue="default")
    assert await queue.monitor("emails", "default", threshold=100) == {}
    assert events.of(QueueBusy) == []
    await queue.dispatch(Quick(), queue="emails:high", delay=60)
    assert await queue.monitor("emails", "default", threshold=100) == {"emails": 100}
    (busy,) = events.of(QueueBusy)
    assert (busy.queue, busy.size, busy.threshold) == ("emails", 100, 100)
    assert await queue.monitor("emails:high", "never used", threshold=1) == {"emails:high": 1}


@pytest.mark.parametrize("threshold", [0, -1, 1.5, None, "100"])
async def test_a_threshold_is_a_number_of_jobs(queue, threshold):
    with pytest.raises(ValueError, match="threshold"):
        await queue.monitor("emails", threshold=threshold)


@pytest.mark.case("MON-17")
async def test_the_totals_of_a_worker_add_up(queue, make_worker, clock, events):
    class Third(Job, backoff=0):
        async def handle(self, ctx: Context) -> None:
            if ctx.attempt < 3:
                raise ValueError

    class Again(Job):
        async def handle(self, ctx: Context) -> None:
            if ctx.attempt == 1:
                raise Retry(0)

    await queue.dispatch_many([Quick(), Quick(), Third(), Breaks(), Again()])
    worker = make_worker(stop_when_empty=True)
    await worker.run()
    assert worker.totals == {State.COMPLETED: 4, State.FAILED: 1, State.DELAYED: 3}
    assert worker.totals[State.COMPLETED] == len(events.of(JobProcessed))
    assert worker.totals[State.FAILED] == len(events.of(JobFailed))
    assert worker.totals[State.DELAYED] == len(events.of(JobRetrying) + events.of(JobReleased))
    assert worker.totals.total() == 8


async def test_every_job_that_runs_is_told_in_the_order_in_which_they_began(
    queue, driver, clock, monkeypatch
):
    """However many the store tells at a time."""
    find = driver.find

    async def finds(which, *, limit, **options):
        return await find(which, limit=min(limit, 2), **options)

    monkeypatch.setattr(driver, "find", finds)
    handles = await queue.dispatch_many([Quick() for _ in range(5)])
    for _ in handles:
        clock.advance(1)
        await driver.claim([Source("default")], 1, 60, "worker")
    assert [job.id for job in await queue.running()] == [handle.id for handle in handles]
