"""Outcomes are stored, whatever they say and whatever the driver does."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from asyncqueue import Context, Job, State
from asyncqueue.errors import PartlyUnavailable
from asyncqueue.worker.holdings import Holdings
from asyncqueue.worker.outage import Outage
from asyncqueue.worker.settler import MOST_BUGS, Settler

from ..recorder import PATIENCE, until
from .frail import frail
from .stopping import Stage, define

log = logging.getLogger("tests.worker")


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


async def _no_answer(sound, *args):
    await sound(*args)
    return []


@pytest.mark.parametrize("disturb", [_cancelled, _one_answer_too_many, _no_answer])
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
        await until(lambda: not len(worker._shift._holdings))


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
async def test_what_is_refused_together_is_tried_once_each(
    driver, make_queue, make_worker, stage, caplog, monkeypatch
):
    monkeypatch.setattr(Outage, "failed", lambda *_: 0.0)
    queue = make_queue(driver)
    job, sound, sizes = define(at_once, stage), driver.settle, []
    first, poisoned, last = await queue.dispatch_many([job(), job(), job()])

    async def settle(settlements):
        sizes.append(len(settlements))
        if any(settlement.id == poisoned.id for settlement in settlements):
            raise TypeError("cannot be stored")
        return await sound(settlements)

    driver.settle = settle
    async with make_worker(on=queue, concurrency=3):
        for handle in (first, last):
            assert await handle.result(PATIENCE) == 1
        await until(lambda: "refused the outcome" in caplog.text)
    assert sizes == [3] * MOST_BUGS + [1, 1, 1]


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
async def test_a_store_that_is_back_before_the_end_is_tried_at_once(
    driver, make_queue, make_worker, stage, monkeypatch
):
    """The pause between two tries has grown longer than the worker waits at its end."""
    monkeypatch.setattr(Outage, "failed", lambda *_: 1_000.0)
    weak = make_queue(frail(driver))
    weak.driver.broken.add("settle")
    handle = await weak.dispatch(define(at_once, stage)())
    worker = make_worker(on=weak, drain_timeout=10)
    await worker.start()
    await until(lambda: weak.driver.calls["settle"])
    weak.driver.broken.clear()
    await worker.stop()
    assert (await handle.status()).state is State.COMPLETED


@pytest.fixture
def settler():
    """One that is driven by hand."""
    nothing = SimpleNamespace()
    return Settler(nothing, Holdings(), nothing, nothing, log, lambda: None, nothing)


@pytest.fixture
def verdict():
    claim = SimpleNamespace(id="id", name="Kind", token=1)
    return SimpleNamespace(claim=claim, stored=None)


@pytest.mark.parametrize(("ending", "again"), [(False, False), (True, True)])
async def test_a_part_that_is_back_before_the_end_is_tried_soon(
    settler, verdict, monkeypatch, ending, again
):
    monkeypatch.setattr(Outage, "failed", lambda *_: 1_000.0)
    monkeypatch.setattr("asyncqueue.worker.settler.SHORT_PAUSE", 0.0)
    if ending:
        settler._ending.set()
    settler._store_later([verdict], PartlyUnavailable("away", [False], frozenset({0})))
    await asyncio.sleep(0.01)
    assert settler._wake.is_set() is again
    settler._leave([verdict])
    assert not settler._late


async def test_everybody_is_told_of_every_group_that_was_settled(settler, verdict):
    """All that wait for room, and whoever keeps the limits; also while there is more to settle."""
    told, pools = [], [asyncio.Event() for _ in range(3)]
    assert all(settler.is_behind(0, pool) for pool in pools)

    async def store(_group):
        if not told and settler._unsettled == 1:
            settler.put(verdict)

    settler._store, settler._on_settled = store, lambda: told.append(settler._unsettled)
    settler.put(verdict)
    settling = asyncio.create_task(settler._settle())
    await until(settler._idle.is_set)
    settling.cancel()
    assert told[:2] == [1, 0]
    assert all(pool.is_set() for pool in pools)


async def test_what_cannot_be_skipped_at_once_holds_up_no_settling(settler, verdict, caplog):
    skipped = []

    async def skip(batch_id, _states):
        skipped.append(batch_id)
        raise (asyncio.CancelledError if batch_id == "the end" else KeyError)

    settler._skipping.skip = skip
    settler._broken += ["the end", "broken"]
    settler._store = lambda _group: asyncio.sleep(0)
    settler.put(verdict)
    with pytest.raises(asyncio.CancelledError):
        await settler._settle()
    assert skipped == ["broken", "the end"]
    assert caplog.text.count("wait until they are due") == 1
    assert settler._unsettled == 0


async def test_who_was_hurried_before_the_end_does_not_wait_there(settler, caplog):
    settler._unsettled = 1
    settler._hooks.give_up = lambda patience: asyncio.sleep(0)
    settler.hurry(0.0)
    async with asyncio.timeout(PATIENCE):
        await settler._finish(1_000.0)
    assert "1 outcomes could not be stored in 0 s" in caplog.text


async def test_a_slot_that_waits_for_the_store_is_free_when_all_tasks_are_cancelled(
    driver, make_queue, make_worker
):
    """As by the end of ``asyncio.run()``: the worker would wait for it for ever."""

    class Breaks(Job, name="BreaksItsBatch", max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

    weak = make_queue(frail(driver))
    info = await weak.batch(Breaks()).dispatch()
    settle = weak.driver.held["settle"] = asyncio.Event()
    worker = make_worker(on=weak)
    await worker.start()
    await until(lambda: weak.driver.calls["settle"])
    (run,) = worker._shift._holdings.runs()
    for task in (worker._main, run.task):
        task.cancel()
    settle.set()
    await until(lambda: not worker.running)
    assert (await weak.find_batch(info.id)).failed == 1


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
                await asyncio.sleep(0.05)
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
        clock.advance(20)
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
