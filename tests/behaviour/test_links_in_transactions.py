"""``ctx.transaction()`` of members, links and callbacks: what follows them is part of it."""

from __future__ import annotations

import pytest

from asyncqueue import (
    BatchCompleted,
    BatchCreated,
    BatchJobCompleted,
    Context,
    DriverError,
    JobQueued,
    LeaseLost,
    State,
)

from .linked import Boom, Fails, Step, found, listening, numbers, run, steps


@pytest.fixture
def driver(ledger):
    return ledger.driver


@pytest.fixture
async def queue(linking, ledger):
    await linking.ready()
    await ledger.create()
    return linking


@pytest.fixture
def pays(scene, ledger):
    """Lets a job write in its transaction, and do more there."""

    def act(what, also=None, *, breaks=False):
        async def pay(ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await ledger.insert(connection, f"{what} {ctx.attempt}")
                if also is not None:
                    await also(ctx)
                if breaks and ctx.attempt == 1:
                    raise Boom(what)

        scene.acts[what] = pay

    return act


@pytest.mark.case("BAT-02", "TXN-04")
async def test_members_count_with_their_commit(queue, scene, ledger, pays, events):
    for what in "ab":
        pays(what)
    info = await listening(queue.batch(*steps("a", "b"))).dispatch()
    await run(queue)
    assert await ledger.rows() == ["a 1", "b 1"]
    assert numbers(await found(queue, info)) == (2, 0, 2, 0, 0)
    assert scene.called == ["then", "finally"]
    assert len(events.of(BatchJobCompleted)) == 2
    assert len(events.of(BatchCompleted)) == 1


@pytest.mark.case("BAT-14")
async def test_a_transaction_that_rolls_back_counts_nothing(queue, scene, ledger, pays, clock):
    pays("a", breaks=True)
    info = await listening(queue.batch(Step("a"))).dispatch()
    await run(queue)
    assert await ledger.rows() == []
    assert numbers(await found(queue, info)) == (1, 1, 0, 0, 0)
    clock.advance(10)
    await run(queue)
    assert await ledger.rows() == ["a 2"]
    assert numbers(await found(queue, info)) == (1, 0, 1, 0, 0)
    assert scene.called == ["then", "finally"]


@pytest.mark.case("CHN-02", "CHN-04")
async def test_the_next_link_is_stored_by_the_commit(queue, scene, ledger, pays, clock, events):
    async def nothing_yet(ctx: Context) -> None:
        assert await queue.size("default") == 0

    pays("a", nothing_yet, breaks=True)
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    assert (scene.ran, await ledger.rows()) == (["a"], [])
    clock.advance(10)
    await run(queue)
    assert (scene.ran, await ledger.rows()) == (["a", "a", "b"], ["a 2"])
    assert len(events.of(JobQueued)) == 2


@pytest.mark.case("CHN-08")
async def test_links_that_are_added_in_the_block_follow_it(queue, scene, ledger, pays, clock):
    async def change(ctx: Context) -> None:
        ctx.chain_prepend(Step(f"next {ctx.attempt}"))

    pays("a", change, breaks=True)
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    clock.advance(10)
    await run(queue)
    assert scene.ran == ["a", "a", "next 2", "b"]


async def test_links_that_are_added_after_the_block_are_refused(queue, scene, pays):
    """The job is complete, and what follows it is stored."""
    pays("a")
    pay, refused = scene.acts["a"], []

    async def then_change(ctx: Context) -> None:
        await pay(ctx)
        with pytest.raises(LeaseLost, match="nothing can follow it"):
            ctx.chain_append(Step("late"))
        refused.append(ctx.job_id)

    scene.acts["a"] = then_change
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    assert len(refused) == 1
    assert scene.ran == ["a", "b"]


@pytest.mark.case("BAT-31")
async def test_members_that_are_added_in_the_block_exist_with_the_commit(
    queue, scene, ledger, pays, clock
):
    totals = []

    async def load(ctx: Context) -> None:
        await ctx.add_to_batch(*steps("b", "c"))
        totals.append((await ctx.batch()).total)

    pays("a", load, breaks=True)
    info = await listening(queue.batch(Step("a"))).dispatch()
    await run(queue)
    assert numbers(await found(queue, info)) == (1, 1, 0, 0, 0)
    clock.advance(10)
    await run(queue)
    assert totals == [1, 1]  # Others see it after the commit, and so does ctx.batch().
    assert scene.ran == ["a", "a", "b", "c"]
    assert numbers(await found(queue, info)) == (3, 0, 3, 0, 0)
    assert scene.called == ["then", "finally"]


@pytest.mark.case("TXN-04")
async def test_batches_and_chains_dispatched_in_the_block_exist_with_the_commit(
    queue, scene, ledger, pays, clock, events
):
    inner = []

    async def dispatch(ctx: Context) -> None:
        batch = listening(queue.batch(*steps("1", "2")))
        inner.append(await batch.dispatch())
        await queue.chain(*steps("x", "y")).dispatch()
        assert await queue.find_batch(batch.id) is None
        assert events.of(BatchCreated) == []

    pays("a", dispatch, breaks=True)
    await queue.dispatch(Step("a"))
    await run(queue)
    assert events.of(BatchCreated) == []
    assert await queue.batches() == []
    assert scene.ran == ["a"]
    clock.advance(10)
    await run(queue)
    assert [event.batch_id for event in events.of(BatchCreated)] == [inner[1].id]
    assert [batch.id for batch in await queue.batches()] == [inner[1].id]
    assert sorted(scene.ran[2:]) == ["1", "2", "x", "y"]
    assert scene.called == ["then", "finally"]


async def test_cancelling_a_batch_is_no_part_of_a_transaction(queue, scene, pays):
    refused = []

    async def cancel(ctx: Context) -> None:
        with pytest.raises(DriverError, match="inside"):
            await queue.cancel_batch(ctx.batch_id)
        refused.append(ctx.batch_id)

    pays("a", cancel)
    info = await queue.batch(Step("a")).dispatch()
    await run(queue)
    assert refused == [info.id]
    assert numbers(await found(queue, info)) == (1, 0, 1, 0, 0)


async def test_a_callback_in_a_transaction_lets_the_end_come_with_its_commit(
    queue, scene, ledger, pays, clock
):
    pays("then", breaks=True)
    await queue.batch(Step("a")).then(Step("then")).finally_("end").dispatch()
    await run(queue)
    assert scene.called == []
    clock.advance(10)
    await run(queue)
    assert await ledger.rows() == ["then 2"]
    assert scene.called == ["finally"]


async def test_a_callback_job_in_a_transaction_is_complete_although_it_breaks_afterwards(
    queue, scene, ledger, pays
):
    pays("z")
    pay = scene.acts["z"]

    async def pay_and_break(ctx: Context) -> None:
        await pay(ctx)
        raise Boom("too late to fail")

    scene.acts["z"] = pay_and_break
    await queue.chain(Step("z"), Fails("after")).catch("chain_catch").dispatch()
    await run(queue)
    assert await ledger.rows() == ["z 1"]
    assert scene.ran == ["z", "after"]
    assert scene.called == ["chain catch"]
    states = sorted(job.state for job in (await queue.jobs()).items)
    assert states.count(State.FAILED) == 1
