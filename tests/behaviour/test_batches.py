"""Batches: jobs that end together, and what became of them."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    BatchInfo,
    Context,
    Job,
    JobFailed,
    JobProcessed,
    JobTimeout,
    PayloadError,
    PayloadTooLarge,
    Queue,
    Settings,
    State,
)
from asyncqueue.callbacks import CallbackJob

from ..recorder import PATIENCE, until
from .linked import Fails, Report, Step, found, listening, numbers, run, steps


@pytest.fixture
def queue(linking):
    return linking


# Building and dispatching


@pytest.mark.case("BAT-01", "BAT-30")
async def test_a_batch_is_built_and_dispatched_with_every_option(queue, scene):
    batch = listening(queue.batch(*steps("a", "b")))
    info = await batch.allow_failures().on_queue("emails").named("newsletter").dispatch()
    assert isinstance(info, BatchInfo)
    assert (info.id, info.name) == (batch.id, "newsletter")
    assert numbers(info) == (2, 2, 0, 0, 0)
    assert await queue.size("emails") == 2
    assert await queue.find_batch(info.id) == info


@pytest.mark.case("BAT-01")
async def test_every_option_is_optional(queue, scene):
    info = await queue.batch(Step("only")).dispatch()
    assert (info.name, info.total) == ("", 1)
    await run(queue)
    assert scene.ran == ["only"]
    assert (await found(queue, info)).finished


@pytest.mark.case("BAT-28")
async def test_the_id_is_known_before_the_dispatch(queue, scene):
    batch = queue.batch(*steps("a"))
    batch.then(Step(what=batch.id))
    assert await queue.find_batch(batch.id) is None
    info = await batch.dispatch()
    assert info.id == batch.id
    await run(queue)
    assert scene.ran == ["a", info.id]


@pytest.mark.case("BAT-26")
async def test_no_two_batches_share_an_id(make_queue, queue):
    other = make_queue()
    assert len({dispatcher.batch().id for dispatcher in (queue, other) for _ in range(500)}) == 1000


@pytest.mark.case("BAT-10")
async def test_the_queue_of_the_batch_wins_over_that_of_its_jobs(queue, scene):
    class Elsewhere(Step, queue="elsewhere"): ...

    await queue.batch(Elsewhere("a"), Step("b")).on_queue("high").dispatch()
    assert [await queue.size(name) for name in ("high", "elsewhere", "default")] == [2, 0, 0]
    await queue.batch(Elsewhere("c"), Step("d")).dispatch()
    assert [await queue.size(name) for name in ("high", "elsewhere", "default")] == [2, 1, 1]


@pytest.mark.case("BAT-10")
async def test_a_lane_of_the_batch_is_the_lane_of_all_that_belongs_to_it(queue, scene):
    batch = listening(queue.batch(Step("a", fails=9), Step("b"))).then(Report())
    await batch.allow_failures().on_queue("emails:low").dispatch()
    assert await queue.size("emails:low") == 2
    await run(queue, ["emails:low"], max_attempts=1)
    assert scene.called == ["catch", "finally"]


async def test_callbacks_are_served_by_whoever_serves_the_members(queue, scene):
    class Slow(Step, queue="emails:low"): ...

    await listening(queue.batch(Slow("a"))).dispatch()
    await run(queue, ["emails:low"])
    assert scene.called == ["then", "finally"]


@pytest.mark.case("BAT-11")
async def test_an_empty_batch_is_refused(queue):
    batch = queue.batch()
    with pytest.raises(ValueError, match="at least one job"):
        await batch.dispatch()
    assert await queue.find_batch(batch.id) is None


@pytest.mark.case("BAT-12")
@pytest.mark.parametrize("wrong", [None, "Step", Step, 3])
async def test_what_is_no_job_refuses_the_whole_batch_and_is_told_by_its_place(queue, wrong):
    batch = queue.batch(Step("a"), Step("b"), wrong, Step("d"))
    with pytest.raises(TypeError, match="number 2 of 4"):
        await batch.dispatch()
    assert await queue.find_batch(batch.id) is None
    assert (await queue.jobs()).items == []


async def test_a_member_that_cannot_be_stored_refuses_the_whole_batch(make_queue, queue, driver):
    class Carries(Job):
        what: object

    small = make_queue(driver, settings=Settings(max_payload=500))
    for wrong, error in ((object(), PayloadError), ("x" * 1000, PayloadTooLarge)):
        batch = small.batch(Carries("fine"), Carries(wrong))
        with pytest.raises(error):
            await batch.dispatch()
        assert await queue.find_batch(batch.id) is None
    assert (await queue.jobs()).items == []


async def test_a_callback_that_cannot_be_stored_refuses_the_whole_batch(queue):
    for wrong, error in ((3, TypeError), (Step, TypeError), ("", TypeError)):
        batch = queue.batch(Step()).then(wrong)
        with pytest.raises(error):
            await batch.dispatch()
        assert await queue.find_batch(batch.id) is None
    assert (await queue.jobs()).items == []


async def test_a_batch_is_dispatched_once(queue, scene):
    batch = queue.batch(*steps("a"))
    await batch.dispatch()
    with pytest.raises(ValueError, match="dispatched already"):
        await batch.dispatch()
    await run(queue)
    assert scene.ran == ["a"]


async def test_a_batch_that_was_refused_can_be_mended_and_dispatched(queue, scene):
    batch = queue.batch(*steps("a")).then(3)
    with pytest.raises(TypeError):
        await batch.dispatch()
    batch.plan.callbacks.clear()
    await batch.dispatch()
    await run(queue)
    assert scene.ran == ["a"]


async def test_members_keep_their_own_options_and_hold_no_keys(queue, scene):
    class Unique(Step, unique=True, priority=7, delay=30, max_attempts=9): ...

    alone = await queue.dispatch(Unique("same"))
    info = await queue.batch(Unique("same"), Unique("same")).dispatch()
    assert info.total == 2
    members = (await queue.jobs(batch=info.id)).items
    assert [(job.priority, job.max_attempts, job.state) for job in members] == [
        (7, 9, State.DELAYED)
    ] * 2
    assert alone.id not in {job.id for job in members}


# What becomes of it


@pytest.mark.case("BAT-02", "BAT-20", "BAT-29")
async def test_all_succeed(queue, scene):
    batch = listening(queue.batch(*steps("a", "b", "c")))
    info = await batch.dispatch()
    await run(queue)
    assert scene.ran == ["a", "b", "c"]
    assert scene.called == ["then", "finally"]
    ended = await found(queue, info)
    assert numbers(ended) == (3, 0, 3, 0, 0)
    assert (ended.finished, ended.cancelled, ended.has_failures) == (True, False, False)


@pytest.mark.case("BAT-03", "BAT-13", "BAT-20")
async def test_one_fails_for_good(queue, scene):
    info = await listening(queue.batch(Fails("a"), *steps("b", "c"))).dispatch()
    await run(queue)
    assert scene.ran == ["a"]
    assert scene.called == ["catch", "finally"]
    catch = scene.calls[0]
    assert catch.batch.id == info.id
    assert "a" in str(catch.error)
    ended = await found(queue, info)
    assert numbers(ended) == (3, 0, 0, 1, 2)
    assert (ended.finished, ended.cancelled, ended.has_failures) == (True, True, True)
    assert ended.error == "Boom: a"


@pytest.mark.case("BAT-04", "BAT-20")
async def test_one_fails_where_failures_are_allowed(queue, scene):
    batch = listening(queue.batch(Step("a"), Fails("b"), Step("c"))).allow_failures()
    info = await batch.dispatch()
    await run(queue)
    assert scene.ran == ["a", "b", "c"]
    assert scene.called == ["catch", "finally"]
    last = scene.calls[-1].batch
    assert numbers(last) == (3, 0, 2, 1, 0)
    assert (last.finished, last.cancelled) == (True, False)
    assert numbers(await found(queue, info)) == (3, 0, 2, 1, 0)


@pytest.mark.case("BAT-05")
async def test_catch_is_called_for_the_first_failure_only(queue, scene):
    batch = listening(queue.batch(*map(Fails, "abc"))).allow_failures()
    info = await batch.dispatch()
    await run(queue)
    assert scene.ran == ["a", "b", "c"]
    assert scene.called == ["catch", "finally"]
    assert "a" in str(scene.calls[0].error)
    assert (await found(queue, info)).error == "Boom: a"


@pytest.mark.case("BAT-06")
async def test_a_batch_is_found_with_live_counters(queue, make_queue, driver, scene):
    gate = scene.hold("b")
    info = await queue.batch(*steps("a", "b")).named("two").dispatch()
    running = asyncio.create_task(run(queue))
    await scene.started["b"].wait()
    other = make_queue(driver)
    async with asyncio.timeout(PATIENCE):
        while numbers(seen := await other.find_batch(info.id)) == (2, 2, 0, 0, 0):
            await asyncio.sleep(0)  # "a" has ended, and is being settled.
    assert (seen.name, numbers(seen), seen.progress) == ("two", (2, 1, 1, 0, 0), 50)
    assert await other.find_batch("no such batch") is None
    assert [batch.id for batch in await other.batches()] == [info.id]
    gate.set()
    await running
    assert numbers(await found(queue, info)) == (2, 0, 2, 0, 0)


@pytest.mark.case("BAT-07")
async def test_a_job_knows_its_batch(queue, scene):
    info = await queue.batch(*steps("a", "b")).dispatch()
    plain = await queue.dispatch(Step("plain"))
    members = (await queue.jobs(batch=info.id)).items
    assert [job.batch_id for job in members] == [info.id] * 2
    assert (await plain.status()).batch_id is None
    await run(queue)
    assert [ctx.batch_id for ctx in scene.contexts] == [info.id, info.id, None]


@pytest.mark.case("BAT-08", "BAT-09")
async def test_counters_follow_every_outcome(queue, scene, make_worker):
    jobs = [Step("a"), Fails("b"), Step("c"), Step("d")]
    gates = [scene.hold(job.what) for job in jobs]
    info = await queue.batch(*jobs).allow_failures().dispatch()
    seen = []
    async with make_worker(concurrency=1):
        for number, (job, gate) in enumerate(zip(jobs, gates, strict=True), 1):
            await scene.started[job.what].wait()
            gate.set()
            ended = 0
            while ended < number:
                batch = await found(queue, info)
                ended = batch.total - batch.pending
                await asyncio.sleep(0)
            seen.append((batch.progress, *numbers(batch), batch.finished, batch.has_failures))
    assert seen == [
        (25, 4, 3, 1, 0, 0, False, False),
        (50, 4, 2, 1, 1, 0, False, True),
        (75, 4, 1, 2, 1, 0, False, True),
        (100, 4, 0, 3, 1, 0, True, True),
    ]


@pytest.mark.case("BAT-14")
async def test_retries_do_not_count(queue, scene, clock):
    info = await listening(queue.batch(Step("a", fails=2))).dispatch()
    for attempt in range(3):
        assert numbers(await found(queue, info)) == (1, 1, 0, 0, 0)
        await run(queue)
        assert scene.ran == ["a"] * (attempt + 1)
        clock.advance(10)
    assert numbers(await found(queue, info)) == (1, 0, 1, 0, 0)
    assert scene.called == ["then", "finally"]


@pytest.mark.case("BAT-15")
async def test_a_refused_retry_counts_at_once(queue, scene):
    class Gives(Step):
        def should_retry(self, error: Exception) -> bool:
            return False

    info = await listening(queue.batch(Gives("a", fails=1))).dispatch()
    await run(queue)
    assert scene.ran == ["a"]
    assert scene.called == ["catch", "finally"]
    assert numbers(await found(queue, info)) == (1, 0, 0, 1, 0)


@pytest.mark.case("BAT-16")
async def test_a_timeout_of_the_last_attempt_is_a_failure(queue, scene, clock, make_worker, events):
    class Hangs(Step, max_attempts=1, timeout=10): ...

    scene.hold("a")
    info = await listening(queue.batch(Hangs("a"))).dispatch()
    async with make_worker(concurrency=1):
        await scene.started["a"].wait()
        clock.advance(11)
        await events.wait_for(JobFailed)
        await until(lambda: scene.called == ["catch", "finally"])
    assert isinstance(scene.calls[0].error, JobTimeout)
    assert numbers(await found(queue, info)) == (1, 0, 0, 1, 0)


@pytest.mark.case("BAT-18")
async def test_a_hundred_at_once(queue, scene):
    jobs = [(Fails if n % 3 == 0 else Step)(f"{n}") for n in range(100)]
    info = await listening(queue.batch(*jobs)).allow_failures().dispatch()
    await run(queue, concurrency=50)
    assert numbers(await found(queue, info)) == (100, 0, 66, 34, 0)
    assert scene.called == ["catch", "finally"]
    assert numbers(scene.calls[-1].batch) == (100, 0, 66, 34, 0)


@pytest.mark.case("BAT-18", "BAT-26")
async def test_many_batches_at_once_on_several_workers(queue, make_queue, driver, scene):
    batches = [listening(queue.batch(*steps("x", "y", "z"))) for _ in range(10)]
    for batch in batches:
        await batch.dispatch()
    other = make_queue(driver, services=[scene])
    await asyncio.gather(run(queue, concurrency=5), run(other, concurrency=5))
    # One of them may have found nothing for a moment and ended before the callbacks came.
    await run(queue)
    for batch in batches:
        assert numbers(await found(other, batch)) == (3, 0, 3, 0, 0)
        mine = [call.name for call in scene.calls if call.batch.id == batch.id]
        assert mine == ["then", "finally"]


@pytest.mark.case("BAT-19")
async def test_callbacks_see_the_end(queue, scene):
    info = await listening(queue.batch(*steps("a", "b"))).named("n").dispatch()
    await run(queue)
    assert [(call.batch.id, call.batch.name) for call in scene.calls] == [(info.id, "n")] * 2
    for call in scene.calls:
        assert (call.batch.finished, numbers(call.batch)) == (True, (2, 0, 2, 0, 0))


@pytest.mark.case("BAT-32")
async def test_a_job_can_ask_for_its_batch(queue, scene):
    answers = []

    async def ask(ctx: Context) -> None:
        answers.append(await ctx.batch())

    scene.acts = {"a": ask, "b": ask, "plain": ask}
    info = await queue.batch(*steps("a", "b")).dispatch()
    await run(queue, max_jobs=1)
    await run(queue)
    await queue.dispatch(Step("plain"))
    await run(queue)
    assert [answer.id for answer in answers[:2]] == [info.id] * 2
    assert [answer.completed for answer in answers[:2]] == [0, 1]
    assert answers[2] is None


@pytest.mark.case("BAT-32")
async def test_a_running_job_sees_that_its_batch_was_cancelled(queue, scene):
    seen = []

    async def cancel(ctx: Context) -> None:
        seen.append((await ctx.batch()).cancelled)
        await queue.cancel_batch(ctx.batch_id)
        seen.append((await ctx.batch()).cancelled)

    scene.acts = {"a": cancel}
    info = await queue.batch(*steps("a", "b")).dispatch()
    await run(queue)
    assert seen == [False, True]
    assert scene.ran == ["a"]
    assert numbers(await found(queue, info)) == (2, 0, 1, 0, 1)


# Beside each other


async def test_a_batch_is_dispatched_from_a_member_of_another(queue, scene):
    inner = []

    async def nest(ctx: Context) -> None:
        inner.append(await queue.batch(Step("inner")).then(Report("inner done")).dispatch())

    scene.acts = {"a": nest}
    info = await queue.batch(Step("a")).then(Report("outer done")).dispatch()
    await run(queue)
    assert sorted(scene.called) == ["inner done", "outer done"]
    ids = {call.name: call.batch.id for call in scene.calls}
    assert ids == {"inner done": inner[0].id, "outer done": info.id}


async def test_many_batches_do_not_starve_a_worker_of_the_same_process(queue, make_worker, scene):
    async with make_worker(concurrency=1):
        for _ in range(300):
            await queue.batch(Step("a")).dispatch()
            if scene.ran:
                break
    assert scene.ran


async def test_callback_jobs_are_jobs_like_any_other(queue, scene, events):
    """They can be seen, they send events, middleware is around them."""
    around = []

    async def middleware(ctx, call_next):
        around.append(ctx.job_name)
        return await call_next()

    info = await queue.batch(Step("a")).then("then").finally_(Report()).dispatch()
    await run(queue, middleware=[middleware])
    names = ["LinkedStep", CallbackJob.__job_name__, "LinkedReport"]
    assert around == names
    assert [event.name for event in events.of(JobProcessed)] == names
    done = (await queue.jobs(name=CallbackJob.__job_name__)).items
    assert [(job.state, job.batch_id) for job in done] == [(State.COMPLETED, info.id)]


async def test_a_queue_that_was_never_opened_opens_itself(driver, scene, linking):
    fresh = Queue(driver, services=[scene])
    info = await fresh.batch(Step("a")).dispatch()
    assert await fresh.find_batch(info.id) == info
    await fresh.close()
