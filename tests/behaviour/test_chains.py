"""Chains: jobs that run one after the other, each after the success of the one before."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    Context,
    Job,
    JobProcessed,
    JobQueued,
    PayloadError,
    PayloadTooLarge,
    Retry,
    Settings,
    Snooze,
    State,
    Trace,
    use_trace,
)
from asyncqueue.testing import pop

from ..recorder import PATIENCE, until
from .linked import Fails, Report, Step, run, steps


@pytest.fixture
def queue(linking):
    return linking


# In order


@pytest.mark.case("CHN-01")
async def test_links_run_in_order_whatever_is_free(queue, scene):
    gates = [scene.hold(what) for what in "abcd"]
    await queue.chain(*steps(*"abcd")).dispatch()
    running = asyncio.create_task(run(queue, concurrency=4))
    for number, (what, gate) in enumerate(zip("abcd", gates, strict=True), 1):
        await scene.started[what].wait()
        assert len(scene.ran) == number
        gate.set()
    await running
    assert scene.ran == list("abcd")


@pytest.mark.case("CHN-02")
async def test_only_the_head_is_queued(queue, scene, events):
    first = await queue.chain(*steps(*"abcd")).dispatch()
    for number, what in enumerate("abcd", 1):
        assert await queue.size("default") == 1
        assert len((await queue.jobs(state="pending")).items) == 1
        assert len(events.of(JobQueued)) == number
        await run(queue, max_jobs=1)
        assert scene.ran[-1] == what
    assert await queue.size("default") == 0
    assert events.of(JobQueued)[0].job_id == first.id
    assert await first.result(PATIENCE) == "a"


@pytest.mark.case("CHN-02")
async def test_the_next_is_said_to_be_queued_before_it_runs(queue, scene, events):
    await queue.chain(Step("a"), Step("b")).dispatch()
    await run(queue)
    told = [event.name for event in events.all if isinstance(event, JobQueued)]
    assert told == ["LinkedStep", "LinkedStep"]
    assert events.of_jobs() == [
        "JobQueued", "JobProcessing", "JobProcessed", "JobQueued", "JobProcessing", "JobProcessed",
    ]  # fmt: skip
    second = events.of(JobQueued)[1]
    assert (second.queue, second.attempt, second.max_attempts) == ("default", 0, 3)
    assert second.job_id == events.of(JobProcessed)[1].job_id


@pytest.mark.case("CHN-03")
async def test_a_failure_ends_the_chain(queue, scene):
    await queue.chain(Step("a"), Fails("b"), Step("c"), Step("d")).dispatch()
    await run(queue)
    assert scene.ran == ["a", "b"]
    assert await queue.size("default") == 0
    states = {job.state for job in (await queue.jobs()).items}
    assert states == {State.COMPLETED, State.FAILED}


@pytest.mark.case("CHN-04")
async def test_retries_come_first(queue, scene, clock):
    await queue.chain(Step("a"), Step("b", fails=1), Step("c"), Step("d")).dispatch()
    await run(queue)
    assert scene.ran == ["a", "b"]
    assert await queue.size("default") == 1
    clock.advance(10)
    await run(queue)
    assert scene.ran == ["a", "b", "b", "c", "d"]


@pytest.mark.case("CHN-06")
@pytest.mark.parametrize("again", [Retry(10), Snooze(10)])
async def test_a_released_job_holds_the_chain(queue, scene, clock, again):
    async def release(ctx: Context) -> None:
        if len(scene.ran) == 1:
            raise again

    scene.acts = {"a": release}
    await queue.chain(*steps("a", "b")).dispatch()
    await run(queue)
    assert scene.ran == ["a"]
    assert [job.state for job in (await queue.jobs()).items] == [State.DELAYED]
    clock.advance(11)
    await run(queue)
    assert scene.ran == ["a", "a", "b"]


async def test_a_link_that_is_cancelled_ends_the_chain_without_its_catch(queue, scene):
    handle = await queue.chain(*steps("a", "b")).catch("chain_catch").dispatch()
    assert await handle.cancel()
    await run(queue)
    assert (scene.ran, scene.called) == ([], [])
    assert await queue.size("default") == 0


async def test_a_running_link_that_is_cancelled_ends_the_chain(queue, scene, make_worker):
    scene.hold("a")
    handle = await queue.chain(*steps("a", "b")).catch("chain_catch").dispatch()
    async with make_worker():
        await scene.started["a"].wait()
        assert await handle.cancel()
        await until(scene.contexts[0].cancelled.is_set)
    assert (await handle.status()).state is State.CANCELLED
    await run(queue)
    assert (scene.ran, scene.called) == (["a"], [])


async def test_clearing_the_queue_ends_the_chain(queue, scene):
    await queue.chain(*steps("a", "b")).catch("chain_catch").dispatch()
    assert await queue.clear("default") == 1
    await run(queue)
    assert (scene.ran, scene.called) == ([], [])


# Where and how they run


@pytest.mark.case("CHN-07")
async def test_the_queue_of_the_chain_and_that_of_a_link(queue, scene):
    class Elsewhere(Step, queue="elsewhere"): ...

    chain = queue.chain(Step("a"), Step("b"), Elsewhere("c"), Step("d")).on_queue("podcasts")
    await chain.dispatch()
    await run(queue, ["podcasts", "elsewhere"])
    assert [ctx.queue for ctx in scene.contexts] == ["podcasts"] * 2 + ["elsewhere", "podcasts"]


@pytest.mark.case("CHN-07")
async def test_catch_and_lanes_of_a_chain(queue, scene):
    await queue.chain(Step("a"), Fails("b")).on_queue("emails:low").catch("chain_catch").dispatch()
    await run(queue, ["emails:low"])
    assert scene.ran == ["a", "b"]
    assert scene.called == ["chain catch"]


async def test_catch_is_served_by_whoever_serves_the_first_link(queue, scene):
    class Slow(Fails, queue="emails:low"): ...

    await queue.chain(Slow("a")).catch("chain_catch").dispatch()
    await run(queue, ["emails:low"])
    assert scene.called == ["chain catch"]


@pytest.mark.case("CHN-11")
async def test_each_link_keeps_its_own_rules(queue, scene, clock):
    class Stubborn(Step, max_attempts=9, timeout=77, priority=5): ...

    class Late(Step, delay=60, max_attempts=1, timeout=5): ...

    class Unique(Step, unique=True): ...

    await queue.dispatch(Unique("u"), delay=1e6)
    await queue.chain(Step("a"), Stubborn("b"), Late("c"), Unique("u")).dispatch()
    await run(queue)
    assert scene.ran == ["a", "b"]
    clock.advance(59)
    await run(queue)
    assert scene.ran == ["a", "b"]
    clock.advance(2)
    await run(queue)
    assert scene.ran == ["a", "b", "c", "u"]
    rules = [(ctx.max_attempts, ctx.priority) for ctx in scene.contexts]
    assert rules == [(3, 1), (9, 5), (1, 1), (3, 1)]


@pytest.mark.case("CHN-11")
async def test_a_link_is_retried_until_so_long_after_its_own_beginning(queue, scene, clock):
    class Urgent(Step, retry_until=100, backoff=20): ...

    class Late(Step, delay=1000): ...

    await queue.chain(Late("a"), Urgent("b", fails=3)).dispatch()
    clock.advance(1001)
    for _ in range(4):
        await run(queue)
        clock.advance(21)
    assert scene.ran == ["a", "b", "b", "b", "b"]


async def test_links_keep_the_trace_of_their_producer(queue, scene):
    trace = Trace("a" * 32, "b" * 16)
    with use_trace(trace):
        await queue.chain(Step("a"), Fails("b")).catch(Report()).dispatch()
    await run(queue)
    assert [ctx.trace for ctx in scene.contexts] == [trace, trace]


# Restarts and stops


@pytest.mark.case("CHN-10")
async def test_it_goes_on_where_it_was_with_other_processes(driver, make_queue, linking, scene):
    """Nothing of it is in the memory of a queue or a worker."""
    first = make_queue(driver, services=[scene])
    await first.chain(*steps("a", "b", "c")).catch("chain_catch").dispatch()
    await run(first, max_jobs=1)
    await first.close()
    second = make_queue(driver, services=[scene])
    await run(second, max_jobs=1)
    await second.close()
    await run(make_queue(driver, services=[scene]))
    assert scene.ran == ["a", "b", "c"]


@pytest.mark.case("CHN-12")
async def test_a_stop_in_the_middle(queue, scene, make_worker):
    gate = scene.hold("b")
    await queue.chain(*steps("a", "b", "c")).catch("chain_catch").dispatch()
    worker = make_worker(concurrency=1)
    await worker.start()
    await scene.started["b"].wait()
    await worker.stop()
    assert scene.ran == ["a", "b"]
    assert await queue.size("default") == 1
    gate.set()
    await run(queue)
    assert scene.ran == ["a", "b", "b", "c"]
    assert [ctx.attempt for ctx in scene.contexts] == [1, 1, 1, 1]
    assert scene.called == []


async def test_a_link_that_lost_its_lease_has_no_successor(queue, scene, clock):
    """Another worker took it over: what becomes of the first attempt changes nothing."""
    await queue.chain(*steps("a", "b")).dispatch()
    late = await pop(queue)
    clock.advance(1000)
    await queue.driver.sweep()
    anew = await pop(queue)
    assert (await late.run()).ending == "lost"
    assert await queue.size("default") == 0
    assert (await anew.run()).ending == "completed"
    await run(queue)
    assert scene.ran == ["a", "a", "b"]
    assert (await late.run()).ending == "lost"
    await run(queue)
    assert scene.ran == ["a", "a", "b", "a"]


# Refusals


@pytest.mark.case("CHN-13")
async def test_an_empty_chain_is_refused(queue):
    with pytest.raises(ValueError, match="at least one job"):
        await queue.chain().dispatch()
    assert (await queue.jobs()).items == []


@pytest.mark.case("CHN-13")
async def test_a_chain_of_one_is_an_ordinary_job(queue, scene):
    handle = await queue.chain(Step("only")).dispatch()
    plain = await queue.dispatch(Step("only"))
    stored, other = [await queue._find(job.id) for job in (handle, plain)]
    assert stored.payload == other.payload
    await run(queue)
    assert await handle.result(PATIENCE) == "only"
    assert scene.ran == ["only", "only"]


@pytest.mark.parametrize("wrong", [None, Step, "Step"])
async def test_what_is_no_job_refuses_the_whole_chain(queue, wrong):
    with pytest.raises(TypeError):
        await queue.chain(Step("a"), wrong).dispatch()
    assert (await queue.jobs()).items == []


async def test_a_chain_that_is_too_large_is_refused(make_queue, driver, linking):
    queue = make_queue(driver, settings=Settings(max_payload=1000))
    with pytest.raises(PayloadTooLarge, match="with the rest of its chain"):
        await queue.chain(*(Step("x" * 100) for _ in range(20))).dispatch()
    assert (await queue.jobs()).items == []


async def test_a_link_that_cannot_be_stored_refuses_the_whole_chain(queue):
    class Carries(Job):
        what: object

    with pytest.raises(PayloadError):
        await queue.chain(Step("a"), Carries(object())).dispatch()
    with pytest.raises(TypeError, match="callback"):
        await queue.chain(Step("a")).catch(3).dispatch()
    assert (await queue.jobs()).items == []


async def test_a_chain_can_be_dispatched_again(queue, scene):
    chain = queue.chain(*steps("a", "b")).catch("chain_catch")
    one, other = await chain.dispatch(), await chain.dispatch()
    assert one.id != other.id
    await run(queue)
    assert sorted(scene.ran) == ["a", "a", "b", "b"]


async def test_it_runs_on_to_its_end_in_a_worker_that_stops_when_empty(queue, scene):
    await queue.chain(*steps(*"abcdefgh")).dispatch()
    await run(queue, concurrency=10)
    assert scene.ran == list("abcdefgh")


async def test_a_link_stored_while_the_worker_looks_is_not_left_behind(linking, scene):
    """What a look finds says nothing about what was stored during it."""
    driver, looked, stored = linking.driver, asyncio.Event(), asyncio.Event()
    claim, settle = driver.claim, driver.settle

    async def claim_slowly(*args, **kwargs):
        claimed = await claim(*args, **kwargs)
        if not claimed.claims and not looked.is_set():
            looked.set()
            await stored.wait()
            await asyncio.sleep(0.01)
        return claimed

    async def settle_meanwhile(settlements):
        await looked.wait()
        answers = await settle(settlements)
        stored.set()
        return answers

    driver.claim, driver.settle = claim_slowly, settle_meanwhile
    await linking.chain(*steps("a", "b")).dispatch()
    await run(linking)
    assert scene.ran == ["a", "b"]
