"""Batches as links of chains, and chains that members of batches begin."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import BatchCompleted, BatchCreated, Context, JobQueued, State

from .linked import Boom, Fails, Report, Step, found, listening, numbers, run, steps


@pytest.fixture
def queue(linking):
    return linking


@pytest.mark.case("CHN-09")
async def test_the_next_link_begins_when_the_batch_has_finished(queue, scene):
    batch = queue.batch(*steps("1", "2", "3"))
    gate = scene.hold("3")
    await queue.chain(Step("a"), batch, Step("z")).dispatch()
    running = asyncio.create_task(run(queue, concurrency=5))
    await scene.started["3"].wait()
    assert "z" not in scene.ran
    gate.set()
    await running
    assert scene.ran == ["a", "1", "2", "3", "z"]
    assert numbers(await found(queue, batch)) == (3, 0, 3, 0, 0)


@pytest.mark.case("CHN-09")
async def test_a_batch_begins_when_its_turn_has_come(queue, scene):
    batch = queue.batch(*steps("1", "2"))
    await queue.chain(Step("a"), batch).dispatch()
    assert await queue.find_batch(batch.id) is None
    assert await queue.size("default") == 1
    await run(queue)
    assert scene.ran == ["a", "1", "2"]


@pytest.mark.case("CHN-09")
async def test_a_batch_that_fails_ends_the_chain_and_calls_its_catch(queue, scene):
    batch = queue.batch(Fails("1"), *steps("2", "3"))
    await queue.chain(Step("a"), batch, Step("z")).catch("chain_catch").dispatch()
    await run(queue)
    assert scene.ran == ["a", "1"]
    assert scene.called == ["chain catch"]
    assert "1" in str(scene.calls[0].error)
    assert numbers(await found(queue, batch)) == (3, 0, 0, 1, 2)
    assert await queue.size("default") == 0


@pytest.mark.case("CHN-09")
async def test_a_catch_that_wants_both_is_told_of_the_batch(queue, scene):
    """The one of a batch takes the batch and the error, and so may the one of a chain."""
    batch = queue.batch(Fails("1"))
    await queue.chain(batch).catch("catch").dispatch()
    await queue.chain(Fails("plain")).catch("catch").dispatch()
    await run(queue)
    assert [call.batch and call.batch.id for call in scene.calls] == [batch.id, None]


@pytest.mark.case("CHN-09")
async def test_a_batch_that_allows_failures_lets_the_chain_go_on(queue, scene):
    batch = queue.batch(Fails("1"), *steps("2", "3")).allow_failures()
    await queue.chain(Step("a"), batch, Step("z")).catch("chain_catch").dispatch()
    await run(queue)
    assert scene.ran == ["a", "1", "2", "3", "z"]
    assert scene.called == []
    assert numbers(await found(queue, batch)) == (3, 0, 2, 1, 0)


@pytest.mark.case("CHN-09")
@pytest.mark.parametrize("where", ["first", "last", "only", "twice"])
async def test_wherever_the_batch_stands(queue, scene, where):
    batch, other = queue.batch(*steps("1", "2")), queue.batch(*steps("3", "4"))
    links = {
        "first": [batch, Step("z")],
        "last": [Step("a"), batch],
        "only": [batch],
        "twice": [batch, other, Step("z")],
    }[where]
    await queue.chain(*links).catch("chain_catch").dispatch()
    await run(queue)
    assert (
        scene.ran
        == {
            "first": ["1", "2", "z"],
            "last": ["a", "1", "2"],
            "only": ["1", "2"],
            "twice": ["1", "2", "3", "4", "z"],
        }[where]
    )
    assert scene.called == []


@pytest.mark.case("CHN-09")
async def test_the_second_of_two_batches_fails(queue, scene):
    links = queue.batch(*steps("1")), queue.batch(Fails("2")), Step("z")
    await queue.chain(*links).catch("chain_catch").dispatch()
    await run(queue)
    assert (scene.ran, scene.called) == (["1", "2"], ["chain catch"])


@pytest.mark.case("CHN-09")
async def test_a_link_after_a_batch_fails(queue, scene):
    await queue.chain(queue.batch(*steps("1")), Fails("z")).catch("chain_catch").dispatch()
    await run(queue)
    assert (scene.ran, scene.called) == (["1", "z"], ["chain catch"])


@pytest.mark.case("CHN-09")
async def test_the_batch_keeps_its_own_callbacks(queue, scene):
    batch = listening(queue.batch(*steps("1", "2")))
    await queue.chain(batch, Step("z")).dispatch()
    await run(queue)
    assert scene.called == ["then", "finally"]
    assert scene.ran == ["1", "2", "z"]


@pytest.mark.case("CHN-09")
async def test_where_failures_are_allowed_the_next_link_waits_for_the_batchs_catch(queue, scene):
    gate = scene.hold("catch")
    batch = listening(queue.batch(Fails("1"))).allow_failures()
    await queue.chain(batch, Step("z")).dispatch()
    running = asyncio.create_task(run(queue, concurrency=5))
    await scene.started["catch"].wait()
    assert scene.ran == ["1"]
    gate.set()
    await running
    assert scene.ran == ["1", "z"]
    assert scene.called == ["catch", "finally"]


@pytest.mark.case("CHN-09", "BAT-17")
async def test_a_batch_that_is_cancelled_ends_the_chain(queue, scene):
    batch = queue.batch(*steps("1", "2"))
    await queue.chain(batch, Step("z")).catch("chain_catch").dispatch()
    assert await queue.cancel_batch(batch.id)
    await run(queue)
    assert (scene.ran, scene.called) == ([], [])
    assert numbers(await found(queue, batch)) == (2, 0, 0, 0, 2)


async def test_a_failed_member_that_is_retried_does_not_wake_the_chain(queue, scene):
    """The chain has ended, and its catch was called."""
    mended = False

    async def break_unless_mended(ctx: Context) -> None:
        if not mended:
            raise Boom("not mended")

    class Once(Step, max_attempts=1): ...

    scene.acts = {"1": break_unless_mended}
    batch = queue.batch(Once("1"))
    await queue.chain(batch, Step("z")).catch("chain_catch").dispatch()
    await run(queue)
    mended = True
    assert await queue.failed.retry_all() == 1
    await run(queue)
    assert scene.ran == ["1", "1"]
    assert scene.called == ["chain catch"]
    assert numbers(await found(queue, batch)) == (1, 0, 1, 0, 0)


@pytest.mark.case("CHN-07", "CHN-09")
async def test_the_queue_of_the_chain_is_that_of_the_members_without_one(queue, scene):
    class Elsewhere(Step, queue="elsewhere"): ...

    batch = queue.batch(Step("1"), Elsewhere("2")).then("then")
    forced = queue.batch(Step("3"), Elsewhere("4")).on_queue("forced")
    await queue.chain(Step("a"), batch, forced, Step("z")).on_queue("podcasts:low").dispatch()
    await run(queue, ["podcasts:low", "elsewhere", "forced"])
    queues = {what: ctx.queue for what, ctx in zip(scene.ran, scene.contexts, strict=True)}
    assert queues == {
        "a": "podcasts", "1": "podcasts", "2": "elsewhere", "3": "forced", "4": "forced",
        "z": "podcasts",
    }  # fmt: skip
    assert scene.called == ["then"]


@pytest.mark.case("CHN-08", "CHN-09")
async def test_a_batch_is_put_into_a_chain_by_a_job_of_it(queue, scene):
    async def change(ctx: Context) -> None:
        ctx.chain_prepend(queue.batch(*steps("1", "2")))

    scene.acts = {"a": change}
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    assert scene.ran == ["a", "1", "2", "b"]


@pytest.mark.case("BAT-31", "CHN-09")
async def test_a_chain_waits_for_what_members_add(queue, scene):
    async def load(ctx: Context) -> None:
        await ctx.add_to_batch(*steps("2", "3"))

    scene.acts = {"1": load}
    await queue.chain(queue.batch(Step("1")), Step("z")).dispatch()
    await run(queue)
    assert scene.ran == ["1", "2", "3", "z"]


@pytest.mark.case("CHN-08")
async def test_a_member_that_has_followers_counts_when_it_has_ended_itself(queue, scene):
    """What follows it is no member."""

    async def follow(ctx: Context) -> None:
        ctx.chain_append(Step("after"))

    scene.acts = {"1": follow}
    info = await listening(queue.batch(Step("1"))).dispatch()
    await run(queue, max_jobs=1)
    assert numbers(await found(queue, info)) == (1, 0, 1, 0, 0)
    await run(queue)
    assert scene.ran == ["1", "after"]
    assert scene.contexts[-1].batch_id is None


async def test_a_batch_is_in_one_chain_once(queue):
    batch = queue.batch(*steps("1"))
    with pytest.raises(ValueError, match="twice"):
        await queue.chain(batch, Step("a"), batch).dispatch()
    await queue.chain(batch).dispatch()
    with pytest.raises(ValueError, match="dispatched already"):
        await queue.chain(Step("a"), batch).dispatch()
    with pytest.raises(ValueError, match="dispatched already"):
        await batch.dispatch()
    with pytest.raises(ValueError, match="at least one job"):
        await queue.chain(Step("a"), queue.batch()).dispatch()
    assert await queue.size("default") == 1


async def test_the_handle_is_that_of_the_first_job(queue, scene):
    batch = queue.batch(*steps("1", "2"))
    handle = await queue.chain(batch, Step("z")).dispatch()
    assert (await handle.status()).batch_id == batch.id
    await run(queue)
    assert await handle.result(5) == "1"


@pytest.mark.case("BAT-25")
async def test_a_batch_is_created_when_its_turn_has_come(queue, scene, events):
    batches = [queue.batch(*steps("1")).named("one"), queue.batch(*steps("2", "3")).on_queue("q")]
    await queue.chain(batches[0], Step("a"), batches[1]).dispatch()
    assert [event.batch_id for event in events.of(BatchCreated)] == [batches[0].id]
    await run(queue)
    first, second = events.of(BatchCreated)
    assert (first.name, first.total, first.queue) == ("one", 1, None)
    assert (second.batch_id, second.total, second.queue) == (batches[1].id, 2, "q")


async def test_what_lets_a_batch_begin_leaves_no_record(queue, scene, events):
    await queue.chain(queue.batch(*steps("1")), queue.batch(*steps("2"))).dispatch()
    await run(queue)
    names = {job.name for job in (await queue.jobs()).items}
    assert names == {"LinkedStep"}
    assert {job.state for job in (await queue.jobs()).items} == {State.COMPLETED}
    assert len(events.of(BatchCompleted)) == 2
    assert "LinkedStep" in {event.name for event in events.of(JobQueued)}


@pytest.mark.case("BAT-29", "CHN-09")
async def test_a_job_as_catch_of_a_chain_is_told_of_the_batch_that_failed(queue, scene):
    batch = queue.batch(Fails("1"))
    await queue.chain(batch).catch(Report("caught")).dispatch()
    await run(queue)
    (call,) = scene.calls
    assert (call.name, call.batch.id, call.error) == ("caught", batch.id, None)
    assert call.batch.error == "Boom: 1"


async def test_what_is_added_to_a_batch_goes_to_the_queue_of_its_chain(queue, scene):
    async def load(ctx: Context) -> None:
        await ctx.add_to_batch(Step("c"))

    scene.acts = {"b": load}
    await queue.chain(Step("a"), queue.batch(Step("b"))).on_queue("podcasts").dispatch()
    await run(queue, "podcasts")
    assert scene.ran == ["a", "b", "c"]
