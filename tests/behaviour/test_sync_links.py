"""Chains and batches on the sync driver: all of it happens in the caller, before it goes on."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import BatchCompleted, BatchCreated, Queue

from ..recorder import Recorder
from .linked import Boom, Call, Fails, Step, listening, numbers, steps


@pytest.fixture
async def queue(scene):
    async with Queue("sync://", services=[scene]) as queue:
        yield queue


@pytest.mark.case("CHN-14", on="sync")
async def test_a_chain_runs_in_the_caller_in_order(queue, scene):
    handle = await queue.chain(*steps("a", "b", "c")).dispatch()
    assert scene.ran == ["a", "b", "c"]
    assert await handle.result() == "a"


@pytest.mark.case("CHN-14", on="sync")
async def test_an_error_stops_the_chain_and_reaches_the_caller(queue, scene):
    chain = queue.chain(Step("a"), Fails("b"), Step("c"))
    with pytest.raises(Boom, match="b"):
        await chain.catch(lambda error: scene.calls.append(Call("caught", None, error))).dispatch()
    assert scene.ran == ["a", "b"]
    assert [(call.name, str(call.error)) for call in scene.calls] == [("caught", "b")]


@pytest.mark.case("CHN-14", on="sync")
async def test_links_are_put_into_the_chain_on_the_way(queue, scene):
    async def more(ctx):
        ctx.chain_prepend(Step("next"))
        ctx.chain_append(Step("last"))

    scene.acts["a"] = more
    await queue.chain(*steps("a", "b")).dispatch()
    assert scene.ran == ["a", "next", "b", "last"]


async def test_a_batch_ends_before_its_dispatch(queue, scene):
    events = Recorder(queue)
    info = await listening(queue.batch(*steps("a", "b"))).dispatch()
    assert (scene.ran, scene.called) == (["a", "b"], ["then", "finally"])
    assert (numbers(info), info.finished) == ((2, 0, 2, 0, 0), True)
    await asyncio.sleep(0)
    assert [len(events.of(kind)) for kind in (BatchCreated, BatchCompleted)] == [1, 1]


async def test_a_batch_in_a_chain(queue, scene):
    batch = queue.batch(*steps("b", "c")).then(scene.then)
    await queue.chain(Step("a"), batch, Step("d")).dispatch()
    assert sorted(scene.ran) == ["a", "b", "c", "d"]
    assert (scene.ran[0], scene.ran[-1]) == ("a", "d")
    assert scene.called == ["then"]
