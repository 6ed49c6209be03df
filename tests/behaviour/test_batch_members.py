"""What the members of a batch know of it, and adding more from inside."""

from __future__ import annotations

import pytest

from asyncqueue import Context, JobError

from .linked import Step, found, listening, numbers, run


@pytest.fixture
def queue(linking):
    return linking


# Adding from inside


@pytest.mark.case("BAT-31")
async def test_a_loader_fills_its_own_batch(queue, scene):
    seen = []

    async def load(ctx: Context) -> None:
        await ctx.add_to_batch(*(Step(f"{n}") for n in range(100)))
        seen.append(numbers(await ctx.batch()))

    scene.acts = {"loader": load}
    info = await listening(queue.batch(Step("loader"))).dispatch()
    await run(queue, concurrency=10)
    assert seen == [(101, 101, 0, 0, 0)]
    assert len(scene.ran) == 101
    assert scene.called == ["then", "finally"]
    assert numbers(scene.calls[0].batch) == (101, 0, 101, 0, 0)
    assert numbers(await found(queue, info)) == (101, 0, 101, 0, 0)


@pytest.mark.case("BAT-10", "BAT-31")
async def test_what_is_added_goes_to_the_queue_of_the_batch(queue, scene):
    class Elsewhere(Step, queue="elsewhere"): ...

    async def load(ctx: Context) -> None:
        await ctx.add_to_batch(Elsewhere("b"), Step("c"))

    scene.acts = {"a": load}
    await queue.batch(Step("a")).on_queue("high:low").dispatch()
    await run(queue, ["high:low"])
    assert scene.ran == ["a", "b", "c"]


async def test_nothing_is_added_outside_of_a_batch(queue, scene):
    refused = []

    async def load(ctx: Context) -> None:
        with pytest.raises(JobError, match="is in no batch") as caught:
            await ctx.add_to_batch(Step("b"))
        refused.append(caught.value)

    scene.acts = {"a": load}
    await queue.dispatch(Step("a"))
    await run(queue)
    assert len(refused) == 1
    assert scene.ran == ["a"]


async def test_what_is_added_must_be_jobs(queue, scene):
    refused = []

    async def load(ctx: Context) -> None:
        with pytest.raises(TypeError, match="number 1 of 2") as caught:
            await ctx.add_to_batch(Step("b"), None)
        refused.append(caught.value)
        await ctx.add_to_batch()

    scene.acts = {"a": load}
    info = await queue.batch(Step("a")).dispatch()
    await run(queue)
    assert len(refused) == 1
    assert numbers(await found(queue, info)) == (1, 0, 1, 0, 0)


async def test_a_finished_batch_takes_no_more(queue, scene):
    """A callback is no member: nothing waits for what it would add."""
    refused = []

    async def late(ctx: Context) -> None:
        with pytest.raises(JobError, match="has ended"):
            await ctx.add_to_batch(Step("late"))
        refused.append(ctx.batch_id)

    scene.acts = {"callback": late}
    info = await queue.batch(Step("a")).then(Step("callback")).dispatch()
    await run(queue)
    assert refused == [info.id]
    assert scene.ran == ["a", "callback"]


async def test_what_is_added_to_a_cancelled_batch_is_skipped(queue, scene):
    async def load(ctx: Context) -> None:
        await queue.cancel_batch(ctx.batch_id)
        await ctx.add_to_batch(Step("b"))

    scene.acts = {"a": load}
    info = await listening(queue.batch(Step("a"))).dispatch()
    await run(queue)
    assert scene.ran == ["a"]
    assert scene.called == ["finally"]
    assert numbers(await found(queue, info)) == (2, 0, 1, 0, 1)
