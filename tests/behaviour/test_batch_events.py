"""What listeners are told of batches."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    BatchCancelled,
    BatchCompleted,
    BatchCreated,
    BatchJobCompleted,
    BatchJobFailed,
    Context,
    JobProcessed,
    JobQueued,
)
from asyncqueue.events import BatchEvent, JobCancelled
from asyncqueue.execution import skipping
from asyncqueue.record import Source
from asyncqueue.testing import drain

from ..recorder import Recorder
from .linked import Boom, Fails, Report, Step, found, run, steps


@pytest.fixture
def queue(linking):
    return linking


def told(events: Recorder) -> list[str]:
    """The types of all batch events, in order."""
    return [type(event).__name__ for event in events.of(BatchEvent)]


@pytest.mark.case("BAT-25")
async def test_a_batch_that_goes_well(queue, scene, events):
    info = await queue.batch(*steps("a", "b")).named("good").on_queue("q").dispatch()
    await run(queue, "q")
    created, one, two, completed = events.of(BatchEvent)
    assert isinstance(created, BatchCreated)
    assert (created.batch_id, created.total, created.queue) == (info.id, 2, "q")
    for number, event in enumerate((one, two), 1):
        assert isinstance(event, BatchJobCompleted)
        assert (event.batch_id, event.completed, event.total) == (info.id, number, 2)
        assert event.progress == number * 50
    assert isinstance(completed, BatchCompleted)
    assert (completed.total, completed.completed, completed.failed) == (2, 2, 0)
    assert {event.name for event in events.of(BatchEvent)} == {"good"}
    assert all(event.at.tzinfo is not None for event in events.of(BatchEvent))


@pytest.mark.case("BAT-25")
async def test_a_batch_that_breaks(queue, scene, events):
    await queue.batch(Step("a"), Fails("b"), Step("c")).dispatch()
    await run(queue)
    assert told(events) == [
        "BatchCreated", "BatchJobCompleted", "BatchJobFailed", "BatchCancelled", "BatchCompleted",
    ]  # fmt: skip
    failed = events.of(BatchJobFailed)[0]
    assert (failed.failed, failed.total, failed.completed) == (1, 3, 1)
    assert isinstance(failed.error, Boom)
    assert events.of(BatchCancelled)[0].failed == 1
    completed = events.of(BatchCompleted)[0]
    assert (completed.total, completed.completed, completed.failed) == (3, 1, 1)


@pytest.mark.case("BAT-25")
async def test_a_batch_that_allows_failures(queue, scene, events):
    await queue.batch(Fails("a"), Fails("b"), Step("c")).allow_failures().dispatch()
    await run(queue)
    assert told(events) == [
        "BatchCreated", "BatchJobFailed", "BatchJobFailed", "BatchJobCompleted", "BatchCompleted",
    ]  # fmt: skip


@pytest.mark.case("BAT-25", "EVT-04")
async def test_the_store_shows_what_is_told(queue, scene):
    seen = []

    async def look(event: BatchEvent) -> None:
        batch = await queue.find_batch(event.batch_id)
        seen.append((type(event).__name__, batch.completed, event.completed, batch.finished))

    queue.on(BatchEvent, look)
    await queue.batch(Step("a")).dispatch()
    await queue.listeners.drained()
    await run(queue)
    await queue.listeners.drained()
    assert seen == [
        ("BatchCreated", 0, 0, False),
        ("BatchJobCompleted", 1, 1, True),
        ("BatchCompleted", 1, 1, True),
    ]


@pytest.mark.case("BAT-25")
async def test_the_event_of_a_job_comes_before_that_of_its_batch(queue, scene, events):
    await queue.batch(Step("a")).dispatch()
    await run(queue)
    names = [type(event).__name__ for event in events.all]
    assert names.index("JobProcessed") < names.index("BatchJobCompleted")


@pytest.mark.case("BAT-17", "BAT-25")
async def test_a_batch_that_is_cancelled_while_nothing_of_it_runs(queue, scene, events):
    info = await queue.batch(*steps("a", "b")).dispatch()
    assert await queue.cancel_batch(info.id)
    assert told(events) == ["BatchCreated", "BatchCancelled", "BatchCompleted"]
    assert len(events.of(JobCancelled)) == 2
    await run(queue)
    assert not await queue.cancel_batch(info.id)
    assert told(events) == ["BatchCreated", "BatchCancelled", "BatchCompleted"]


async def test_an_end_that_several_see_is_told_once(queue, scene, events):
    info = await queue.batch(Step("a")).dispatch()
    assert await queue.clear("default") == 1
    for _ in range(2):
        await queue.skipping.tell_ended([info.id])
    assert len(events.of(BatchCompleted)) == 1


async def test_a_callback_is_not_told_as_queued_before_its_time(queue, scene, events):
    await queue.batch(Step("a")).then(Report()).finally_("end").dispatch()
    assert [event.name for event in events.of(JobQueued)] == ["LinkedStep"]


async def test_of_a_large_batch_every_job_that_is_skipped_is_told(
    queue, scene, events, monkeypatch
):
    monkeypatch.setattr(skipping, "PAGE", 2)
    info = await queue.batch(*steps(*"abcde")).dispatch()
    assert await queue.cancel_batch(info.id)
    members = {job.id for job in (await queue.jobs(batch=info.id)).items}
    assert {event.job_id for event in events.of(JobCancelled)} == members
    assert len(events.of(JobCancelled)) == 5


async def test_a_job_that_is_claimed_while_its_batch_is_cancelled_is_not_told_as_skipped(
    queue, driver, scene, events, monkeypatch
):
    cancel = driver.cancel
    taken = []

    async def cancels_late(*args, **options):
        if not taken:
            taken.extend((await driver.claim([Source("default")], 1, 60, "another")).claims)
        return await cancel(*args, **options)

    info = await queue.batch(*steps("a", "b")).dispatch()
    monkeypatch.setattr(driver, "cancel", cancels_late)
    assert await queue.cancel_batch(info.id)
    (told,) = events.of(JobCancelled)
    assert told.job_id != taken[0].id


@pytest.mark.case("BAT-25")
async def test_a_batch_that_is_cancelled_while_a_job_of_it_runs(queue, scene, events):
    gate = scene.hold("a")
    info = await queue.batch(*steps("a", "b")).dispatch()
    running = asyncio.create_task(run(queue))
    await scene.started["a"].wait()
    await queue.cancel_batch(info.id)
    assert told(events) == ["BatchCreated", "BatchCancelled"]
    gate.set()
    await running
    assert told(events)[2:] == ["BatchJobCompleted", "BatchCompleted"]


@pytest.mark.case("BAT-25")
@pytest.mark.parametrize("how", ["cancel", "clear", "cancel_batch", "skip"])
async def test_the_end_is_told_however_the_last_job_goes(queue, scene, events, how):
    class Later(Step, delay=3600): ...

    last = Later("z") if how == "skip" else Step("z")
    first = Fails("a") if how == "skip" else Step("a")
    info = await queue.batch(first, last).dispatch()
    await run(queue, max_jobs=1)
    if how == "clear":
        assert await queue.clear("default") == 1
    elif how == "cancel_batch":
        await queue.cancel_batch(info.id)
    elif how == "cancel":
        (waiting,) = (await queue.jobs(state="pending")).items
        assert await queue.cancel(waiting.id)
    assert (await found(queue, info)).finished
    assert len(events.of(BatchCompleted)) == 1
    await run(queue)
    assert len(events.of(BatchCompleted)) == 1
    assert len(events.of(JobCancelled)) == (0 if how == "clear" else 1)


@pytest.mark.case("BAT-25")
async def test_clearing_tells_of_those_that_it_ended_only(queue, scene, events):
    done = await queue.batch(Step("a")).on_queue("q").dispatch()
    await run(queue, "q")
    cleared = await queue.batch(Step("b")).on_queue("q").dispatch()
    kept = await queue.batch(Step("c")).on_queue("other").dispatch()
    await queue.clear("q")
    assert [event.batch_id for event in events.of(BatchCompleted)] == [done.id, cleared.id]
    assert not (await found(queue, kept)).finished


@pytest.mark.case("BAT-33", "BAT-25")
async def test_a_batch_ends_once_although_a_job_of_it_is_retried(queue, scene, events):
    await queue.batch(Step("a"), Fails("b")).allow_failures().dispatch()
    await run(queue)
    await queue.failed.retry_all()
    await run(queue)
    assert len(events.of(BatchCompleted)) == 1
    assert len(events.of(BatchJobFailed)) == 2


@pytest.mark.case("BAT-25", "BAT-26")
async def test_each_is_told_of_where_it_happens_once(queue, make_queue, driver, scene):
    """Two queue objects, as in two processes: the one that dispatches and the one that works."""
    works = make_queue(driver, services=[scene])
    here, there = Recorder(queue), Recorder(works)
    info = await queue.batch(*steps("a", "b")).dispatch()
    await run(works)
    assert told(here) == ["BatchCreated"]
    assert told(there) == ["BatchJobCompleted"] * 2 + ["BatchCompleted"]
    assert {event.batch_id for event in there.of(BatchEvent)} == {info.id}


@pytest.mark.case("BAT-25")
async def test_added_jobs_show_in_the_totals(queue, scene, events):
    async def load(ctx: Context) -> None:
        await ctx.add_to_batch(*steps("b", "c"))

    scene.acts = {"a": load}
    await queue.batch(Step("a")).dispatch()
    await run(queue)
    assert [event.total for event in events.of(BatchEvent)] == [1, 3, 3, 3, 3]
    progress = [event.progress for event in events.of(BatchJobCompleted)]
    assert progress == [33.33, 66.67, 100.0]


@pytest.mark.case("BAT-14", "BAT-25")
async def test_attempts_that_are_repeated_tell_nothing(queue, scene, events, clock):
    await queue.batch(Step("a", fails=1)).dispatch()
    await run(queue)
    assert told(events) == ["BatchCreated"]
    clock.advance(10)
    await run(queue)
    assert told(events)[1:] == ["BatchJobCompleted", "BatchCompleted"]


@pytest.mark.case("BAT-25")
async def test_drained_by_hand_the_same_is_told(queue, scene, events):
    class Later(Step, delay=3600): ...

    await queue.batch(Step("a"), Fails("b"), Later("c")).dispatch()
    await queue.chain(Step("x"), Step("y")).dispatch()
    done = await drain(queue)
    assert (done.completed, done.failed) == (3, 1)
    assert told(events) == [
        "BatchCreated", "BatchJobCompleted", "BatchJobFailed", "BatchCancelled", "BatchCompleted",
    ]  # fmt: skip
    assert len(events.of(JobProcessed)) == 3
