"""What keeps a worker from starting reaches the caller of start, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from asyncqueue import Context, DriverUnavailable, Job, Queue, Worker

from ..recorder import PATIENCE
from .frail import frail


class Service:
    """Notes who entered and left."""

    def __init__(self, log, name, *, breaks=False):
        self.log, self.name, self.breaks = log, name, breaks

    async def __aenter__(self):
        if self.breaks:
            raise ZeroDivisionError
        self.log.append(f"+{self.name}")
        return self

    async def __aexit__(self, *exc_info):
        self.log.append(f"-{self.name}")


@pytest.mark.case("WRK-23")
async def test_a_store_that_is_away_is_reported_by_start(driver, make_queue, make_worker):
    weak = frail(driver)

    async def away():
        raise DriverUnavailable("the store is away")

    weak.ping = away
    worker = make_worker(on=make_queue(weak))
    with pytest.raises(DriverUnavailable):
        await worker.start()
    with pytest.raises(DriverUnavailable):
        await worker.run()
    assert not worker.running


@pytest.mark.case("WRK-23")
async def test_a_second_connection_that_fails_is_reported_by_start(driver, make_queue, make_worker):
    """The heartbeat has a connection of its own."""
    weak = frail(driver)

    def no_second():
        raise DriverUnavailable("no second connection")

    weak.clone = no_second
    log = []
    worker = make_worker(on=make_queue(weak), services=[Service(log, "db")])
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(DriverUnavailable, match="no second connection"):
            await worker.start()
    assert not worker.running
    assert log == ["+db", "-db"]


async def test_a_service_that_cannot_be_entered_is_reported_and_the_others_left(make_worker):
    log = []
    worker = make_worker(services=[Service(log, "db"), Service(log, "bad", breaks=True)])
    with pytest.raises(ZeroDivisionError):
        await worker.start()
    assert log == ["+db", "-db"]
    assert not worker.running


async def test_services_are_entered_once_per_start_and_left_in_reverse(queue, make_worker):
    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    log = []
    worker = make_worker(services=[Service(log, "db"), Service(log, "cache")], concurrency=5)
    for _ in range(2):
        log.clear()
        async with worker:
            for handle in await queue.dispatch_many([Quick() for _ in range(3)]):
                await handle.result(PATIENCE)
        assert log == ["+db", "+cache", "-cache", "-db"]


async def test_services_outlive_the_handlers_that_unwind(queue, make_worker):
    """What a handler does in its finally still has them."""
    log = []
    started = asyncio.Event()

    class Unwinds(Job):
        async def handle(self, ctx: Context) -> None:
            try:
                started.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                log.append(ctx.get(Service).name)

    async with make_worker(services=[Service(log, "db")]):
        await queue.dispatch(Unwinds())
        await started.wait()
    assert log == ["+db", "db", "-db"]


@pytest.mark.case("WRK-12")
async def test_a_worker_that_was_only_built_does_nothing(queue, make_worker):
    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    handle = await queue.dispatch(Quick())
    before = asyncio.all_tasks()
    worker = make_worker()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert not worker.running
    assert (await handle.status()).attempts == 0


@pytest.mark.case("WRK-24")
async def test_running_tells(make_worker):
    worker = make_worker()
    assert not worker.running
    async with worker:
        assert worker.running
    assert not worker.running


@pytest.mark.case("WRK-06")
@pytest.mark.parametrize(
    ("given", "slots"), [(5, 5), (0, 10), (-3, 10), (10_000, 10_000), (1_000_000, 10_000)]
)
def test_concurrency_has_limits(given, slots):
    assert Worker(Queue("memory://"), concurrency=given).concurrency == slots


@pytest.mark.case("WRK-07")
@pytest.mark.parametrize("given", [None, 0, -5])
def test_a_timeout_that_makes_no_sense_is_the_default(given):
    assert Worker(Queue("memory://"), timeout=given).defaults.timeout == 30


@pytest.mark.case("RTY-18")
@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": -1},
        {"max_jobs": 0},
        {"max_jobs": -2},
        {"lease": 0},
        {"grace": -1},
        {"drain_timeout": -1},
        {"max_time": 0},
        {"unknown_jobs": "drop"},
        {"queues": {}},
        {"queues": {"emails": 0}},
        {"queues": [""]},
        {"poll_interval": float("nan")},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused_by_name(options):
    with pytest.raises((ValueError, TypeError)):
        Worker(Queue("memory://"), **options)


async def test_a_worker_can_be_restarted_in_another_event_loop(driver):
    """Nothing of an event loop is kept in a worker that has ended."""

    ran = []

    class Quick(Job):
        async def handle(self, ctx: Context) -> None:
            ran.append(ctx.job_id)

    def twice():
        queue = Queue("memory://")
        worker = Worker(queue, stop_when_empty=True)
        for _ in range(2):

            async def main():
                await queue.dispatch(Quick())
                await worker.run()

            with contextlib.closing(asyncio.new_event_loop()) as loop:
                loop.run_until_complete(main())

    await asyncio.to_thread(twice)
    assert len(ran) == 2


async def test_a_start_does_not_count_the_jobs(driver, make_queue, make_worker, monkeypatch):
    """Counting takes as long as there are jobs; that the store answers is all a start asks."""

    async def counts():
        raise AssertionError("a start must not count")

    monkeypatch.setattr(driver, "counts", counts)
    queue = make_queue(driver)
    await queue.ping()
    async with make_worker(on=queue) as worker:
        assert worker.running
