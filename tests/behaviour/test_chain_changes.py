"""Jobs that put more into their chain while they run."""

from __future__ import annotations

import pytest

from asyncqueue import (
    Context,
    LeaseLost,
    PayloadTooLarge,
    Settings,
)

from .linked import Step, run, steps


@pytest.fixture
def queue(linking):
    return linking


@pytest.mark.case("CHN-08")
async def test_a_job_prepends_and_appends(queue, scene):
    async def change(ctx: Context) -> None:
        ctx.chain_prepend(Step("next"))
        ctx.chain_append(Step("last"))

    scene.acts = {"a": change}
    await queue.chain(*steps("a", "b", "c")).dispatch()
    await run(queue)
    assert scene.ran == ["a", "next", "b", "c", "last"]


@pytest.mark.case("CHN-08")
async def test_several_keep_their_order(queue, scene):
    async def change(ctx: Context) -> None:
        ctx.chain_prepend(*steps("1", "2"))
        ctx.chain_prepend(Step("0"))
        ctx.chain_append(*steps("8", "9"))
        ctx.chain_append()

    scene.acts = {"a": change}
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    assert scene.ran == ["a", "0", "1", "2", "b", "8", "9"]


@pytest.mark.case("CHN-08")
async def test_a_job_by_itself_begins_a_chain(queue, scene):
    async def change(ctx: Context) -> None:
        ctx.chain_append(Step("b"))

    scene.acts = {"a": change}
    await queue.dispatch(Step("a"))
    await run(queue)
    assert scene.ran == ["a", "b"]


@pytest.mark.case("CHN-07", "CHN-08")
async def test_what_is_added_goes_to_the_queue_of_the_chain(queue, scene):
    class Elsewhere(Step, queue="elsewhere"): ...

    async def change(ctx: Context) -> None:
        ctx.chain_prepend(Step("next"), Elsewhere("other"))
        ctx.chain_append(Step("last"))

    scene.acts = {"a": change}
    await queue.chain(*steps("a", "b")).on_queue("podcasts:low").dispatch()
    await run(queue, ["podcasts:low", "elsewhere"])
    queues = [ctx.queue for ctx in scene.contexts]
    assert list(zip(scene.ran, queues, strict=True)) == [
        ("a", "podcasts"),
        ("next", "podcasts"),
        ("other", "elsewhere"),
        ("b", "podcasts"),
        ("last", "podcasts"),
    ]


@pytest.mark.case("CHN-08")
async def test_an_attempt_that_fails_changes_nothing(queue, scene, clock):
    async def change(ctx: Context) -> None:
        ctx.chain_prepend(Step(f"added by attempt {ctx.attempt}"))

    scene.acts = {"a": change}
    await queue.chain(Step("a", fails=1), Step("b")).dispatch()
    await run(queue)
    clock.advance(10)
    await run(queue)
    assert scene.ran == ["a", "a", "added by attempt 2", "b"]


@pytest.mark.case("CHN-08")
async def test_what_cannot_follow_is_refused_where_it_is_added(make_queue, driver, linking, scene):
    queue = make_queue(driver, settings=Settings(max_payload=2000), services=[scene])
    refused = []

    async def change(ctx: Context) -> None:
        for wrong in ([None], [object()], [Step("x" * 3000)], steps(*("x" * 500 for _ in "1234"))):
            with pytest.raises((TypeError, PayloadTooLarge)) as caught:
                ctx.chain_append(*wrong)
            refused.append(type(caught.value).__name__)
        with pytest.raises(ValueError, match="at least one job"):
            ctx.chain_append(queue.batch())

    scene.acts = {"a": change}
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    assert refused == ["TypeError", "TypeError", "PayloadTooLarge", "PayloadTooLarge"]
    assert scene.ran == ["a", "b"]


async def test_a_job_that_has_ended_cannot_change_the_rest(queue, scene):
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    with pytest.raises(LeaseLost, match="has completed"):
        scene.contexts[0].chain_append(Step("too late"))
