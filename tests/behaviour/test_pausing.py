"""A paused queue starts nothing new: not even what a worker has claimed already."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import Context, Job, JobProcessed, JobProcessing, State

from ..recorder import PATIENCE, until
from .frail import frail


class Line:
    """Jobs that end one by one, as they are told."""

    def __init__(self):
        self.started = []
        self.go_on = asyncio.Event()


@pytest.fixture
async def line():
    line = Line()
    yield line
    line.go_on.set()


@pytest.fixture
def numbered(line):
    class Numbered(Job, queue="emails"):
        number: int

        async def handle(self, ctx: Context) -> None:
            line.started.append(self.number)
            await line.go_on.wait()

    return Numbered


async def reach(queue, handle, state):
    async with asyncio.timeout(PATIENCE):
        while (await queue.status(handle.id)).state is not state:
            await asyncio.sleep(0.002)


@pytest.mark.case("WRK-31")
async def test_prefetched_jobs_of_a_paused_queue_are_handed_back(
    queue, make_worker, events, line, numbered
):
    """No attempt is counted, and they keep their order."""
    handles = await queue.dispatch_many([numbered(number=n) for n in range(4)])
    async with make_worker(["emails"], concurrency=1, prefetch=3):
        await reach(queue, handles[3], State.PROCESSING)
        await queue.pause("emails")
        for handle in handles[1:]:
            await reach(queue, handle, State.PENDING)
            assert (await handle.status()).attempts == 0
        line.go_on.set()
        await events.wait_for(JobProcessed)
        await asyncio.sleep(0.05)
        assert line.started == [0]
        await queue.resume("emails")
        await events.wait_for(JobProcessed, 4)
        assert line.started == [0, 1, 2, 3]
        assert [(await handle.status()).attempts for handle in handles] == [1, 1, 1, 1]


@pytest.mark.case("WRK-31")
async def test_the_prefetch_of_other_queues_goes_on(queue, make_worker, events, line, numbered):
    """Other queues are unaffected, and get the room that became free."""
    first = await queue.dispatch(numbered(number=0))
    paused = [await queue.dispatch(numbered(number=n)) for n in (1, 2)]
    async with make_worker(["emails", "other"], concurrency=1, prefetch=2):
        await reach(queue, paused[1], State.PROCESSING)
        others = [await queue.dispatch(numbered(number=n), queue="other") for n in (3, 4)]
        await queue.pause("emails")
        for handle in others:
            await reach(queue, handle, State.PROCESSING)
        line.go_on.set()
        await events.wait_for(JobProcessed, 3)
        assert line.started == [0, 3, 4]
        assert (await first.status()).state is State.COMPLETED
        assert await queue.size("emails") == 2


async def test_what_is_prefetched_of_other_queues_is_kept(
    queue, make_worker, line, numbered, monkeypatch
):
    settled, sound = [], queue.driver.settle

    async def settle(settlements):
        settled.extend(settlement.id for settlement in settlements)
        return await sound(settlements)

    monkeypatch.setattr(queue.driver, "settle", settle)
    await queue.dispatch(numbered(number=0))
    paused = await queue.dispatch(numbered(number=1))
    kept = await queue.dispatch(numbered(number=2), queue="other")
    async with make_worker(["emails", "other"], concurrency=1, prefetch=2):
        await reach(queue, kept, State.PROCESSING)
        await queue.pause("emails")
        await reach(queue, paused, State.PENDING)
        assert settled == [paused.id]


@pytest.mark.case("WRK-31")
async def test_every_pool_hands_back_what_is_paused(queue, make_worker, events, line, numbered):
    for n, name in enumerate(["other", "emails"]):
        await queue.dispatch(numbered(number=n), queue=name)
    async with make_worker({"other": 1, "emails": 1}, prefetch=1):
        await events.wait_for(JobProcessing, 2)
        waiting = await queue.dispatch(numbered(number=2))
        await reach(queue, waiting, State.PROCESSING)
        await queue.pause("emails")
        await reach(queue, waiting, State.PENDING)
        line.go_on.set()


@pytest.mark.case("WRK-31")
async def test_a_job_handed_back_by_a_pause_does_not_use_up_the_limit(
    queue, make_worker, events, line, numbered
):
    """Exactly ``max_jobs`` jobs are started, whatever was claimed meanwhile."""
    handles = await queue.dispatch_many([numbered(number=n) for n in range(3)])
    worker = make_worker(["emails"], concurrency=1, prefetch=2, max_jobs=3)
    await worker.start()
    await reach(queue, handles[2], State.PROCESSING)
    await queue.pause("emails")
    await reach(queue, handles[2], State.PENDING)
    line.go_on.set()
    await events.wait_for(JobProcessed)
    await queue.resume("emails")
    await events.wait_for(JobProcessed, 3)
    await until(lambda: not worker.running)
    assert worker.stop_reason == "max_jobs"


async def test_without_prefetch_nobody_asks_which_queues_are_paused(
    queue, driver, make_worker, events, line, numbered, monkeypatch
):
    asked = []
    paused = type(driver).paused

    async def count(self):
        asked.append(self)
        return await paused(self)

    async with make_worker(["emails"], concurrency=1):
        monkeypatch.setattr(type(driver), "paused", count)
        await queue.dispatch_many([numbered(number=n) for n in range(3)])
        line.go_on.set()
        await events.wait_for(JobProcessed, 3)
        assert asked == []


async def test_a_store_that_cannot_say_what_is_paused_is_asked_again(
    make_queue, driver, make_worker, line, numbered, caplog
):
    store = frail(driver)
    queue = make_queue(store)
    handles = await queue.dispatch_many([numbered(number=n) for n in range(2)])
    async with make_worker(["emails"], on=queue, concurrency=1, prefetch=1):
        await reach(queue, handles[1], State.PROCESSING)
        store.broken.add("paused")
        await queue.pause("emails")
        await until(lambda: "Cannot look which queues are paused" in caplog.text)
        store.broken.clear()
        await reach(queue, handles[1], State.PENDING)
    assert "Can look which queues are paused again" in caplog.text
