"""Outcomes are stored, whatever they say and whatever the driver does."""

from __future__ import annotations

import asyncio
import logging

import pytest

from asyncqueue import Context, Job, State

from ..recorder import PATIENCE, until
from .frail import frail
from .stopping import Stage, define


@pytest.fixture
async def stage():
    return Stage()


async def at_once(_stage):
    return 1


async def ended(handle):
    async with asyncio.timeout(PATIENCE):
        while (info := await handle.status()).state not in (State.COMPLETED, State.FAILED):
            await asyncio.sleep(0.002)
    return info


def disturbed(driver, verb, disturb):
    """The first call of this verb goes to ``disturb(sound, *args)``."""
    sound, calls = getattr(driver, verb), []

    async def call(*args):
        calls.append(args)
        return await (disturb(sound, *args) if len(calls) == 1 else sound(*args))

    setattr(driver, verb, call)
    return calls


@pytest.mark.parametrize(
    "text",
    ["\udcff in a file name", "a\0b", "x" * 1_000_000],
    ids=["a half of a surrogate pair", "a zero byte", "a million characters"],
)
async def test_errors_of_any_text_can_be_stored(queue, make_worker, stage, text):
    async def breaks(_stage):
        raise ValueError(text)

    handle = await queue.dispatch(define(breaks, stage, max_attempts=1)())
    # What is logged there is shown to nobody: pytest-xdist could not pass it on.
    async with make_worker(logger=logging.Logger("unheard")):  # noqa: LOG001
        info = await ended(handle)
    assert info.state is State.FAILED
    assert info.error.startswith("ValueError: ")


async def test_an_outcome_that_no_driver_can_store_holds_up_no_other(
    driver, make_queue, make_worker, stage, clock, caplog
):
    queue = make_queue(driver)
    poisoned = await queue.dispatch(define(at_once, stage)())
    sound = driver.settle

    async def settle(settlements):
        if any(settlement.id == poisoned.id for settlement in settlements):
            raise TypeError("cannot be stored")
        return await sound(settlements)

    driver.settle = settle
    async with make_worker(on=queue, lease=60, concurrency=3) as worker:
        for _ in range(5):
            handle = await queue.dispatch(define(at_once, stage)())
            assert await handle.result(PATIENCE) == 1
        await until(lambda: "refused the outcome" in caplog.text)
        assert (await poisoned.status()).state is State.PROCESSING
        driver.settle = sound
        # Nobody renews its lease, which is the end of it.
        await until(lambda: not len(worker._shift._holdings))
        clock.advance(61)
        await driver.sweep()
        assert await poisoned.result(PATIENCE) == 1


async def _cancelled(_sound, *_args):
    raise asyncio.CancelledError


async def _one_answer_too_many(sound, *args):
    return [*await sound(*args), True]


@pytest.mark.parametrize("disturb", [_cancelled, _one_answer_too_many])
async def test_a_driver_that_breaks_its_word_once_does_not_end_the_settling(
    driver, make_queue, make_worker, stage, disturb
):
    queue = make_queue(driver)
    calls = disturbed(driver, "settle", disturb)
    job = define(at_once, stage)
    async with make_worker(on=queue) as worker:
        await queue.dispatch(job())
        await until(lambda: calls)
        handle = await queue.dispatch(job())
        assert await handle.result(PATIENCE) == 1
        assert worker.running


async def test_a_store_that_is_back_before_the_end_is_tried_at_once(
    driver, make_queue, make_worker, stage
):
    """The pause between two tries has grown longer than the worker waits at its end."""
    weak = make_queue(frail(driver))
    weak.driver.broken.add("settle")
    handle = await weak.dispatch(define(at_once, stage)())
    worker = make_worker(on=weak, drain_timeout=0.6)
    await worker.start()
    await until(lambda: weak.driver.calls["settle"] >= 5)
    weak.driver.broken.clear()
    await worker.stop()
    assert (await handle.status()).state is State.COMPLETED


async def test_a_bounded_stop_in_an_outage_does_not_wait_for_the_store(
    driver, make_queue, make_worker, stage
):
    weak = make_queue(frail(driver))
    weak.driver.broken.add("settle")
    await weak.dispatch(define(at_once, stage)())
    worker = make_worker(on=weak, drain_timeout=60)
    await worker.start()
    await until(lambda: weak.driver.calls["settle"])
    weak.driver.held["claim"] = asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        await worker.stop(timeout=0)


async def test_a_hook_that_takes_too_long_unwinds_before_the_services_leave(
    queue, make_worker, stage
):
    class Service:
        left = False

        async def __aenter__(self):
            return self

        async def __aexit__(self, *exc_info):
            self.left = True

    service, unwound = Service(), []

    class Breaks(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

        async def failed(self, ctx: Context, error: BaseException) -> None:
            try:
                stage.started.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                unwound.append(service.left)

    await queue.dispatch(Breaks())
    worker = make_worker(services=[service], drain_timeout=0.1)
    await worker.start()
    await stage.started.wait()
    await worker.stop(timeout=0.01)
    assert unwound == [False]
    assert service.left


async def test_the_pause_before_a_retry_counts_from_the_end_of_the_attempt(
    driver, make_queue, make_worker, clock, stage
):
    """However long it took until the store could be told of it."""

    async def breaks(_stage):
        raise ValueError("broken")

    weak = make_queue(frail(driver))
    handle = await weak.dispatch(define(breaks, stage, backoff=100)())
    weak.driver.broken.add("settle")
    async with make_worker(on=weak, lease=1000), asyncio.timeout(PATIENCE):
        await until(lambda: weak.driver.calls["settle"] >= 1)
        clock.advance(60)
        weak.driver.broken.clear()
        while (info := await handle.status()).state is not State.DELAYED:
            await asyncio.sleep(0.002)
    left = info.available_at.timestamp() - clock.time()
    assert left == pytest.approx(40, abs=1)


async def test_an_outcome_on_its_way_when_all_tasks_are_cancelled_is_stored(
    driver, make_queue, make_worker, stage
):
    """As by the end of ``asyncio.run()``, which spares nobody."""
    asked = asyncio.Event()

    async def stall(_sound, _settlements):
        asked.set()
        await asyncio.Event().wait()

    queue = make_queue(driver)
    disturbed(driver, "settle", stall)
    handle = await queue.dispatch(define(at_once, stage)())
    async with make_worker(on=queue) as worker, asyncio.timeout(PATIENCE):
        await asked.wait()
        tasks = {task.get_name(): task for task in asyncio.all_tasks()}
        tasks["asyncqueue-settler"].cancel()
        await until(lambda: not worker.running)
    assert (await handle.status()).state is State.COMPLETED
