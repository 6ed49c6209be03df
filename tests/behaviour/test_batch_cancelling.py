"""Cancelled batches, and members that go one by one."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    BatchCancelled,
    Context,
    DriverUnavailable,
    Job,
    JobNotFound,
    JobProcessed,
    JobProcessing,
    State,
    Worker,
)
from asyncqueue.events import JobCancelled
from asyncqueue.registry import default_registry

from ..recorder import until
from .frail import frail
from .linked import Fails, Report, Step, found, listening, numbers, run, steps


@pytest.fixture
def queue(linking):
    return linking


@pytest.mark.case("BAT-13", "EVT-06")
async def test_waiting_jobs_of_a_cancelled_batch_are_skipped(queue, scene, events):
    async def cancel(ctx: Context) -> None:
        await queue.cancel_batch(ctx.batch_id)

    scene.acts = {"a": cancel}
    info = await listening(queue.batch(*steps(*"abcde"))).dispatch()
    await run(queue)
    assert scene.ran == ["a"]
    assert scene.called == ["finally"]
    assert numbers(scene.calls[0].batch) == (5, 0, 1, 0, 4)
    members = [job.id for job in (await queue.jobs(batch=info.id)).items]
    members.sort(key=lambda member: len(events.of(JobProcessing, member)))
    for skipped in members[:4]:
        assert events.of(JobProcessing, skipped) == events.of(JobProcessed, skipped) == []
        assert (await queue.status(skipped)).state is State.CANCELLED


@pytest.mark.case("BAT-13", "EVT-06")
async def test_members_of_a_broken_batch_are_consumed_and_not_run(queue, scene, events):
    """Nobody cancelled them by hand: a worker takes them and skips them."""
    info = await listening(queue.batch(Fails("a"), *steps(*"bcde"))).dispatch()
    await run(queue)
    assert scene.ran == ["a"]
    assert scene.called == ["catch", "finally"]
    assert len(events.of(JobCancelled)) == 4
    skipped = {event.job_id for event in events.of(JobCancelled)}
    assert not skipped & {event.job_id for event in events.of(JobProcessing)}
    assert not skipped & {event.job_id for event in events.of(JobProcessed)}
    assert {(await queue.status(id)).state for id in skipped} == {State.CANCELLED}
    assert numbers(await found(queue, info)) == (5, 0, 0, 1, 4)


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
async def test_nothing_is_claimed_of_a_batch_before_it_is_stored_that_it_broke(
    driver, make_queue, scene
):
    """By a job that could not be run, which takes no slot."""

    class Gone(Job, name="LinkedGone"):
        async def handle(self, ctx: Context) -> None: ...

    queue = make_queue(frail(driver), services=[scene])
    await queue.batch(Gone(), Step("b")).dispatch()
    del default_registry._makers["LinkedGone"]
    settle = queue.driver.held["settle"] = asyncio.Event()
    running = asyncio.create_task(run(queue))
    await until(lambda: queue.driver.calls["settle"])
    for _ in range(20):
        await asyncio.sleep(0)
    assert queue.driver.calls["claim"] == 1
    settle.set()
    await running
    assert scene.ran == []


@pytest.mark.case("BAT-13")
@pytest.mark.parametrize("how", ["cancelled", "broken"])
async def test_delayed_members_of_a_cancelled_batch_are_skipped_at_once(queue, scene, how):
    class Later(Step, delay=3600): ...

    first = Step("a") if how == "cancelled" else Fails("a")
    info = await listening(queue.batch(first, Later("b"), Later("c"))).dispatch()
    if how == "cancelled":
        await queue.cancel_batch(info.id)
    await run(queue)
    assert scene.called == (["finally"] if how == "cancelled" else ["catch", "finally"])
    assert numbers(await found(queue, info))[:2] == (3, 0)


@pytest.mark.case("BAT-13")
async def test_retries_that_wait_are_skipped_too(queue, scene, clock):
    info = await listening(queue.batch(Step("a", fails=9))).dispatch()
    await run(queue)
    assert numbers(await found(queue, info)) == (1, 1, 0, 0, 0)
    assert await queue.cancel_batch(info.id)
    clock.advance(100)
    await run(queue)
    assert scene.ran == ["a"]
    assert scene.called == ["finally"]
    assert numbers(await found(queue, info)) == (1, 0, 0, 0, 1)


@pytest.mark.case("BAT-13")
async def test_what_runs_when_a_batch_is_cancelled_ends_as_it_ends(queue, scene):
    gates = [scene.hold(what) for what in ("good", "bad")]
    batch = listening(queue.batch(Step("good"), Fails("bad"), Step("waits")))
    info = await batch.dispatch()
    running = asyncio.create_task(run(queue, concurrency=2))
    for what in ("good", "bad"):
        await scene.started[what].wait()
    assert await queue.cancel_batch(info.id)
    assert numbers(await found(queue, info)) == (3, 2, 0, 0, 1)
    for gate in gates:
        gate.set()
    await running
    assert numbers(await found(queue, info)) == (3, 0, 1, 1, 1)
    assert scene.called == ["catch", "finally"]


@pytest.mark.case("BAT-03", "BAT-13")
@pytest.mark.parametrize("prefetch", [1, 10])
async def test_what_a_worker_holds_unstarted_is_skipped_as_well(queue, scene, prefetch):
    """It waits, wherever it waits."""
    info = await listening(queue.batch(Fails("a"), *steps(*"bcd"))).dispatch()
    await run(queue, prefetch=prefetch)
    assert scene.ran == ["a"]
    assert numbers(await found(queue, info)) == (4, 0, 0, 1, 3)
    assert scene.called == ["catch", "finally"]


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
async def test_a_member_whose_batch_is_being_looked_at_when_all_tasks_are_cancelled_is_handed_back(
    queue, driver, scene, make_worker, monkeypatch
):
    """As by the end of ``asyncio.run()``, which spares nobody."""
    looked = asyncio.Event()

    async def hangs(_ids):
        looked.set()
        await asyncio.Event().wait()

    await queue.batch(*steps("a", "b")).dispatch()
    monkeypatch.setattr(driver, "latches", hangs)
    worker = make_worker(on=queue, concurrency=1, prefetch=1, drain_timeout=None)
    await worker.start()
    await looked.wait()
    (run,) = worker._shift._holdings.runs()
    for task in (worker._main, run.task):
        task.cancel()
    await until(lambda: not worker.running)
    (waits,) = (await queue.jobs(state="pending")).items
    assert (waits.attempts, scene.ran) == (0, ["a"])


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
@pytest.mark.parametrize("raised", [DriverUnavailable("away"), asyncio.CancelledError()], ids=repr)
async def test_a_member_whose_batch_cannot_be_looked_at_is_run(
    queue, driver, scene, monkeypatch, raised
):
    async def away(_ids):
        raise raised

    await queue.batch(*steps("a", "b")).dispatch()
    monkeypatch.setattr(driver, "latches", away)
    await run(queue, prefetch=1, max_jobs=2)
    assert scene.ran == ["a", "b"]


async def test_what_is_handed_back_of_a_broken_batch_does_not_count_as_started(queue, scene):
    await queue.batch(Fails("a"), Step("b")).dispatch()
    worker = Worker(queue, concurrency=1, prefetch=1, stop_when_empty=True, max_jobs=2)
    await worker.run()
    assert (scene.ran, worker.stop_reason) == (["a"], "empty")


@pytest.mark.case("BAT-17")
async def test_cancelling_twice_is_cancelling_once(queue, make_queue, driver, scene, events):
    other = make_queue(driver)
    heard = []
    other.on(BatchCancelled, heard.append)
    gate = scene.hold("a")
    info = await listening(queue.batch(*steps("a", "b"))).dispatch()
    running = asyncio.create_task(run(queue))
    await scene.started["a"].wait()
    answers = await asyncio.gather(queue.cancel_batch(info.id), other.cancel_batch(info.id))
    assert sorted(answers) == [False, True]
    assert not await queue.cancel_batch(info.id)
    gate.set()
    await running
    assert not await other.cancel_batch(info.id)
    assert len(heard) + len(events.of(BatchCancelled)) == 1
    assert numbers(await found(queue, info)) == (2, 0, 1, 0, 1)
    assert scene.called == ["finally"]


async def test_a_finished_batch_cannot_be_cancelled(queue, scene, events):
    info = await queue.batch(Step("a")).dispatch()
    await run(queue)
    assert not await queue.cancel_batch(info.id)
    assert not (await found(queue, info)).cancelled
    assert events.of(BatchCancelled) == []


async def test_a_batch_that_nobody_knows_cannot_be_cancelled(queue):
    with pytest.raises(JobNotFound, match="unknown"):
        await queue.cancel_batch("unknown")


@pytest.mark.case("BAT-13")
async def test_a_cancellation_that_broke_off_is_finished_by_the_next(queue, driver, scene):
    """As if its process had died between its two steps."""

    class Later(Step, delay=3600): ...

    info = await listening(queue.batch(Later("a"))).dispatch()
    await driver.call_off([info.id])
    assert not await queue.cancel_batch(info.id)
    assert numbers(await found(queue, info)) == (1, 0, 0, 0, 1)
    await run(queue)
    assert scene.called == ["finally"]


async def test_a_member_that_is_cancelled_by_itself_is_skipped(queue, scene):
    info = await listening(queue.batch(*steps("a", "b"))).dispatch()
    (first,) = (job.id for job in (await queue.jobs(batch=info.id)).items[-1:])
    assert await queue.cancel(first)
    await run(queue)
    assert scene.ran == ["b"]
    assert scene.called == ["finally"]
    ended = await found(queue, info)
    assert numbers(ended) == (2, 0, 1, 0, 1)
    assert (ended.finished, ended.cancelled, ended.has_failures) == (True, False, False)


async def test_a_running_member_that_is_cancelled_is_skipped(queue, scene, make_worker):
    scene.hold("a")
    info = await listening(queue.batch(*steps("a", "b"))).dispatch()
    async with make_worker(concurrency=1):
        await scene.started["a"].wait()
        assert await queue.cancel(scene.contexts[0].job_id)
        await until(lambda: scene.called == ["finally"])
    assert numbers(await found(queue, info)) == (2, 0, 1, 0, 1)


async def test_clearing_a_queue_skips_its_members(queue, scene):
    batch = listening(queue.batch(Step("a"), Step("b")))
    info = await batch.on_queue("emails").dispatch()
    plain = await queue.dispatch(Step("plain"), queue="emails")
    assert await queue.clear("emails") == 3
    assert numbers(await found(queue, info)) == (2, 0, 0, 0, 2)
    await run(queue, "emails")
    assert scene.called == ["finally"]
    assert scene.ran == []
    with pytest.raises(JobNotFound):
        await plain.status()


async def test_clearing_a_queue_removes_callbacks_that_wait_and_the_rest_goes_on(queue, scene):
    """``then`` was let go of and waits; without it the end comes at once."""
    batch = queue.batch(Step("a")).then("then").finally_(Report("final")).on_queue("emails")
    await batch.dispatch()
    await run(queue, "emails", max_jobs=1)
    assert await queue.size("emails") == 1
    assert await queue.clear("emails") == 1
    await run(queue, "emails")
    assert scene.called == ["final"]


async def test_clearing_leaves_alone_what_the_batch_still_holds(queue, scene):
    gate = scene.hold("a")
    await listening(queue.batch(*steps("a"))).dispatch()
    running = asyncio.create_task(run(queue))
    await scene.started["a"].wait()
    assert await queue.size("default") == 0
    assert await queue.clear("default") == 0
    gate.set()
    await running
    assert scene.called == ["then", "finally"]
