"""Claims that fail, come twice or cannot be run; and slots that must not be lost."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import Context, Job, Registry, State
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
    async with make_worker(lease=60, concurrency=1, prefetch=5), asyncio.timeout(PATIENCE):
        while (await waits.status()).state is not State.PROCESSING:
            await asyncio.sleep(0.001)
        clock.advance(61)
        await queue.driver.sweep()
        await until(lambda: len(stage.contexts) == 2)
        assert started == []


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
