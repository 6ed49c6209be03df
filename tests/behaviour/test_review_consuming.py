"""Claims that fail, come twice or cannot be run; and slots that must not be lost."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import Context, Job, Registry, State
from asyncqueue.execution.runner import Runner
from asyncqueue.record import Claimed
from asyncqueue.worker.heartbeat import Heartbeat

from ..recorder import PATIENCE, until
from .frail import frail
from .stopping import Stage, define, obedient


@pytest.fixture
async def stage():
    return Stage()


async def at_once(_stage):
    return 1


async def test_a_claim_that_fails_does_not_tell_that_the_queue_is_empty(
    driver, make_queue, make_worker, stage
):
    weak = make_queue(frail(driver))
    handle = await weak.dispatch(define(at_once, stage)())
    weak.driver.broken.add("claim")
    worker = make_worker(on=weak, stop_when_empty=True)
    await worker.start()
    await until(lambda: weak.driver.calls["claim"] >= 2)
    assert worker.running
    weak.driver.broken.clear()
    async with asyncio.timeout(PATIENCE):
        await worker.run()
    assert (await handle.status()).state is State.COMPLETED
    assert worker.stop_reason == "empty"


async def test_a_claim_that_says_there_is_more_does_not_tell_that_the_queue_is_empty(
    driver, make_queue, make_worker, stage
):
    """A store passes over so many that wait for a permit, and looks at the others the next time."""
    queue = make_queue(driver)
    sound, calls = driver.claim, []

    async def claim(*args):
        calls.append(args)
        return Claimed([], 0.0) if len(calls) < 3 else await sound(*args)

    driver.claim = claim
    handle = await queue.dispatch(define(at_once, stage)())
    await make_worker(on=queue, stop_when_empty=True).run()
    assert (await handle.status()).state is State.COMPLETED


async def test_what_follows_a_job_is_run_before_the_end_though_a_claim_just_missed_it(
    driver, make_queue, make_worker
):
    """One pool asked before the job of another was stored, and has its answer afterwards."""
    claim, answered, late = driver.claim, asyncio.Event(), asyncio.Event()
    may_end, followed = asyncio.Event(), []

    class Leads(Job, queue="one", replace=True):
        async def handle(self, ctx: Context) -> None:
            await may_end.wait()

    class Follows(Job, queue="two", replace=True):
        async def handle(self, ctx: Context) -> None:
            followed.append(ctx.job_id)

    async def claims(sources, *args):
        for _ in range(20 if late.is_set() else 0):
            await asyncio.sleep(0)  # A worker that ends has its turn.
        claimed = await claim(sources, *args)
        if sources[0].queue == "two" and not answered.is_set():
            answered.set()
            await late.wait()
        return claimed

    driver.claim = claims
    queue = make_queue(driver)
    await queue.chain(Leads(), Follows()).dispatch()
    worker = make_worker({"one": 1, "two": 1}, on=queue, stop_when_empty=True)
    await worker.start()
    await answered.wait()
    may_end.set()
    await until(lambda: worker.totals[State.COMPLETED] and worker._shift._settler.idle)
    one, quota = worker._shift._consumers[0], worker._shift._quota
    await until(lambda: one.looked_at == quota.changes)
    late.set()
    await until(lambda: not worker.running)
    assert len(followed) == 1


async def test_what_follows_a_job_is_run_before_the_end_however_long_it_takes_to_be_stored(
    driver, make_queue, make_worker
):
    """Every pool looks for it once more when it is, at its own pace."""
    queue, followed = make_queue(frail(driver)), []
    claim, settle = queue.driver.claim, asyncio.Event()

    class Leads(Job, queue="one", name="LeadsSlowly"):
        async def handle(self, ctx: Context) -> None: ...

    class Follows(Job, queue="two", name="FollowsSlowly"):
        async def handle(self, ctx: Context) -> None:
            followed.append(ctx.job_id)

    async def claims(sources, *args):
        for _ in range(20 if sources[0].queue == "two" else 0):
            await asyncio.sleep(0)
        return await claim(sources, *args)

    queue.driver.claim = claims
    queue.driver.held["settle"] = settle
    await queue.chain(Leads(), Follows()).dispatch()
    worker = make_worker({"one": 1, "two": 1}, on=queue, stop_when_empty=True)
    await worker.start()
    await until(lambda: queue.driver.calls["settle"])
    pools, quota = worker._shift._consumers, worker._shift._quota
    await until(lambda: all(pool.looked_at == quota.changes for pool in pools))
    settle.set()
    await until(lambda: not worker.running)
    assert len(followed) == 1


async def test_a_job_that_comes_while_a_claim_is_answered_is_not_overlooked(
    driver, make_queue, make_worker, stage
):
    queue = make_queue(driver)
    sound, handles = driver.claim, []

    async def claim(*args):
        claimed = await sound(*args)
        if not handles:
            handles.append(await queue.dispatch(define(at_once, stage)()))
        return claimed

    driver.claim = claim
    async with make_worker(on=queue, poll_interval=3600), asyncio.timeout(PATIENCE):
        await until(lambda: handles)
        assert await handles[0].result(PATIENCE) == 1


@pytest.mark.parametrize("raised", [asyncio.CancelledError, KeyError])
async def test_whatever_a_claim_raises_the_worker_goes_on(
    driver, make_queue, make_worker, stage, raised
):
    queue = make_queue(driver)
    sound, calls = driver.claim, []

    async def claim(*args):
        calls.append(args)
        if len(calls) == 1:
            raise raised
        return await sound(*args)

    driver.claim = claim
    handle = await queue.dispatch(define(at_once, stage)())
    async with make_worker(on=queue, max_jobs=1) as worker:
        assert await handle.result(PATIENCE) == 1
        await until(lambda: not worker.running)


async def test_jobs_that_cannot_be_run_leave_their_turn_to_others(driver, make_queue, make_worker):
    """They are settled as they come, not all at once when the last of them was claimed."""

    class Unknown(Job, replace=True):
        pass

    await make_queue(driver).dispatch_many([Unknown() for _ in range(200)])
    groups, sound = [], driver.settle

    async def settle(settlements):
        groups.append(len(settlements))
        return await sound(settlements)

    driver.settle = settle
    ignorant = make_queue(driver, registry=Registry())
    await make_worker(on=ignorant, concurrency=5, stop_when_empty=True).run()
    assert sum(groups) == 200
    assert max(groups) < 200


async def test_a_run_whose_job_its_own_worker_claims_anew_has_lost_its_lease(
    queue, make_worker, clock, stage, monkeypatch
):
    async def cut_off(self, driver):
        return None

    monkeypatch.setattr(Heartbeat, "_renew", cut_off)
    handle = await queue.dispatch(define(obedient, stage, timeout=10_000)())
    async with make_worker(lease=60, concurrency=2) as worker:
        await until(lambda: stage.contexts)
        clock.advance(61)
        await queue.driver.sweep()  # The worker's own sweep may have begun before the lease ended.
        await until(lambda: len(stage.contexts) == 2)
        first, second = stage.contexts
        assert (first.cause, first.attempt) == ("lease_lost", 1)
        assert (second.cause, second.attempt) == (None, 2)
        await until(lambda: worker.busy == 1)
        assert (await handle.status()).state is State.PROCESSING


async def test_a_job_that_waits_for_a_slot_and_is_claimed_anew_is_started_once(
    queue, make_worker, clock, stage, monkeypatch
):
    """Its first claim is worth nothing any more: whatever it did would be done twice."""

    async def cut_off(self, driver):
        return None

    class Waits(Job, replace=True):
        async def handle(self, ctx: Context) -> None:
            started.append(ctx.attempt)

    started = []
    monkeypatch.setattr(Heartbeat, "_renew", cut_off)
    await queue.dispatch(define(obedient, stage, timeout=10_000)())
    waits = await queue.dispatch(Waits())
    worker = make_worker(lease=60, concurrency=1, prefetch=5, max_jobs=10)
    async with worker, asyncio.timeout(PATIENCE):
        while (await waits.status()).state is not State.PROCESSING:
            await asyncio.sleep(0.001)
        clock.advance(61)
        await queue.driver.sweep()
        await until(lambda: len(stage.contexts) == 2)
        assert started == []
        # Of the four claims three count: this is as if the first had never been.
        await until(lambda: worker._shift._quota._left == 7)


class Hostile(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise asyncio.CancelledError


async def test_errors_that_cannot_be_told_do_not_cost_a_slot(queue, make_worker, stage):
    async def breaks(_stage):
        raise Hostile

    await queue.dispatch(define(breaks, stage, max_attempts=1)())
    async with make_worker(concurrency=1):
        handle = await queue.dispatch(define(at_once, stage)())
        assert await handle.result(PATIENCE) == 1


@pytest.mark.parametrize("step", ["begin", "judge"])
async def test_a_fault_of_the_worker_costs_an_attempt_and_nothing_else(
    queue, make_worker, clock, stage, caplog, monkeypatch, step
):
    """Not the slot, and the job comes back: nobody renews its lease, or times it out."""
    sound, broken = getattr(Runner, step), []

    def breaks(runner, run, *args):
        answer = sound(runner, run, *args)
        if not broken:
            broken.append(run)
            raise KeyError("a fault")
        return answer

    monkeypatch.setattr(Runner, step, breaks)
    handle = await queue.dispatch(define(at_once, stage, timeout=10)())
    async with make_worker(concurrency=1, lease=60) as worker, asyncio.timeout(PATIENCE):
        await until(lambda: "cannot be run" in caplog.text and not worker.busy)
        assert len(worker._shift._holdings) == 0
        clock.advance(11)
        assert broken[0].cancelled.cause is None
        while (info := await handle.status()).state is not State.COMPLETED:
            clock.advance(5)
            await asyncio.sleep(0.002)
    assert (info.attempts, info.result) == (2, 1)


@pytest.mark.parametrize("raised", [ValueError, asyncio.CancelledError, SystemExit])
async def test_a_backoff_that_raises_does_not_cost_a_slot(queue, make_worker, events, raised):
    def backoff(job, attempt, error):
        raise raised

    class Breaks(Job, max_attempts=2, backoff=backoff, replace=True):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

    handle = await queue.dispatch(Breaks())
    async with make_worker(concurrency=1) as worker:
        while (await handle.status()).state is not State.DELAYED:
            await asyncio.sleep(0.002)
        await until(lambda: worker.busy == 0)
