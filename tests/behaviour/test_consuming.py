"""What a worker takes, how much of it at a time, and when it ends by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest

from asyncqueue import (
    Context,
    DriverUnavailable,
    Job,
    JobFailed,
    JobNotFound,
    JobProcessed,
    JobProcessing,
    JobRetrying,
    Priority,
    Registry,
    State,
    UnknownJob,
    Worker,
    exponential,
    register,
)
from asyncqueue.drivers.watches import Watch
from asyncqueue.record import Record
from asyncqueue.registry import default_registry

from ..recorder import PATIENCE, Recorder, until
from .frail import frail
from .stopping import (
    Stage,
    deaf,
    define,
    define_plain,
    obedient,
    swallows_and_raises,
    swallows_and_returns,
)


class Busy:
    """Counts how many run at once."""

    def __init__(self):
        self.now = 0
        self.most = 0
        self.order = []
        self.gate = asyncio.Event()

    async def run(self, what=None):
        self.order.append(what)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
        finally:
            self.now -= 1


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    stage.proceed.set()


@pytest.fixture
async def busy():
    busy = Busy()
    yield busy
    busy.gate.set()


@pytest.fixture
def slow(busy):
    class Slow(Job):
        what: int = 0

        async def handle(self, ctx: Context) -> None:
            await busy.run((ctx.queue, self.what))

    return Slow


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0.001)


# How many at once


@pytest.mark.case("WRK-02", "WRK-20", "WRK-28")
@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("slots", [1, 5])
async def test_never_more_run_at_once_than_there_are_slots(
    queue, make_worker, events, busy, slow, slots, prefetch
):
    await queue.dispatch_many([slow(n) for n in range(20)])
    async with make_worker(concurrency=slots, prefetch=prefetch):
        await until(lambda: busy.now == slots)
        await turns()
        assert busy.now == slots
        busy.gate.set()
        await events.wait_for(JobProcessed, 20)
    assert busy.most == slots
    assert sorted(busy.order) == [("default", n) for n in range(20)]
    if slots == 1:
        assert busy.order == sorted(busy.order)


@pytest.mark.case("WRK-27")
async def test_a_mapping_gives_each_queue_its_own_slots(queue, make_worker, busy, slow):
    slots = {"default": 2, "emails": 4, "exports": 1}
    for name in slots:
        await queue.dispatch_many([slow() for _ in range(6)], queue=name)
    async with make_worker(slots) as worker:
        await until(lambda: busy.now == 7)
        await turns()
        running = [name for name, _ in busy.order]
        assert {name: running.count(name) for name in slots} == slots
        assert worker.concurrency == 7


@pytest.mark.case("WRK-19")
async def test_a_list_of_queues_is_served_strictly_in_order(queue, make_worker, events):
    order = []

    class Noted(Job):
        async def handle(self, ctx: Context) -> None:
            order.append(ctx.queue)

    for name in ("low", "high", "low", "high", "middle"):
        await queue.dispatch(Noted(), queue=name)
    async with make_worker(["high", "middle", "low"], concurrency=1):
        await events.wait_for(JobProcessed, 5)
    assert order == ["high", "high", "middle", "low", "low"]


@pytest.mark.case("WRK-21")
async def test_several_workers_share_a_queue_and_run_each_job_once(queue, make_worker, events):
    ran = []
    all_busy = asyncio.Event()

    class Counted(Job):
        n: int

        async def handle(self, ctx: Context) -> None:
            ran.append(self.n)
            if len(ran) == 5:
                all_busy.set()
            await all_busy.wait()

    await queue.dispatch_many([Counted(n) for n in range(100)])
    workers = [make_worker(concurrency=1) for _ in range(5)]
    await asyncio.gather(*(worker.start() for worker in workers))
    await events.wait_for(JobProcessed, 100)
    await asyncio.gather(*(worker.stop() for worker in workers))
    assert sorted(ran) == list(range(100))
    assert all(worker.totals[State.COMPLETED] for worker in workers)


async def test_prefetched_jobs_do_not_run_before_a_slot_is_free(
    queue, make_worker, busy, slow, events
):
    handles = await queue.dispatch_many([slow(n) for n in range(4)])
    async with make_worker(concurrency=1, prefetch=2):
        await until(lambda: busy.now == 1)
        await turns()
        states = [(await handle.status()).state for handle in handles]
        assert states == [State.PROCESSING] * 3 + [State.PENDING]
        assert len(events.of(JobProcessing)) == 1
        busy.gate.set()
        await events.wait_for(JobProcessed, 4)
    assert [what for _, what in busy.order] == [0, 1, 2, 3]


async def test_prefetch_is_filled_by_jobs_that_come_one_by_one(queue, make_worker, busy, slow):
    async with make_worker(concurrency=1, prefetch=4):
        handles = [await queue.dispatch(slow(n)) for n in range(6)]
        held = [State.PROCESSING] * 5 + [State.PENDING]
        async with asyncio.timeout(PATIENCE):
            while [(await handle.status()).state for handle in handles] != held:
                await asyncio.sleep(0.001)


async def test_a_backlog_is_claimed_in_groups(queue, make_worker, monkeypatch):
    """Each call has its price: room for a few waits for more room, while none is idle for it."""
    limits = []
    claim = queue.driver.claim

    def counted(sources, limit, lease, worker):
        limits.append(limit)
        return claim(sources, limit, lease, worker)

    class Swift(Job):
        async def handle(self, ctx: Context) -> None:
            await asyncio.sleep(0)

    monkeypatch.setattr(queue.driver, "claim", counted)
    await queue.dispatch_many([Swift() for _ in range(100)])
    await make_worker(concurrency=2, prefetch=10, max_jobs=100).run()
    first, *later, _ = limits
    assert first == 12
    assert min(later) >= 5


async def test_no_more_is_claimed_while_very_many_outcomes_wait_to_be_stored(
    weak, make_worker, monkeypatch
):
    """What runs ahead of the store would all run again if the worker died."""
    monkeypatch.setattr("asyncqueue.worker.consumer.MOST_UNSETTLED", 20)

    class Swift(Job):
        async def handle(self, ctx: Context) -> None:
            await asyncio.sleep(0)

    weak.driver.held["settle"] = asyncio.Event()
    await weak.dispatch_many([Swift() for _ in range(200)])
    async with make_worker(on=weak, concurrency=2, prefetch=10) as worker:
        await until(lambda: worker._shift._settler._waiting_for_room)
        claimed = (await weak.stats())["default"].processing
        assert 32 <= claimed < 32 + 2 * 12
        weak.driver.held.pop("settle").set()
        await until(lambda: worker.totals[State.COMPLETED] == 200)
    assert (await weak.stats())["default"].completed == 200


# Priorities and lanes


@pytest.mark.case("PRI-01", "PRI-08", "PRI-10", "PRI-13")
async def test_priorities_come_in_order_and_equal_ones_as_dispatched(queue, make_worker, events):
    order = []

    class Noted(Job):
        n: int

        async def handle(self, ctx: Context) -> None:
            order.append(self.n)

    given = [Priority.LOW, 5, Priority.HIGH, None, 1, -3, Priority.HIGH, 100, Priority.LOW]
    for n, priority in enumerate(given):
        await queue.dispatch(Noted(n), priority=priority)
    async with make_worker(concurrency=1):
        await events.wait_for(JobProcessed, len(given))
    assert order == [7, 2, 6, 1, 3, 4, 0, 8, 5]


@pytest.mark.case("PRI-09")
async def test_a_worker_on_a_lane_runs_that_lane_only(queue, make_worker, events):
    order = []

    class Noted(Job):
        async def handle(self, ctx: Context) -> None:
            order.append((ctx.queue, ctx.priority))

    for name in ("emails:low", "emails", "emails:high", "emails:normal"):
        await queue.dispatch(Noted(), queue=name)
    assert await queue.size("emails") == 4
    assert await queue.size("emails:high") == 1
    async with make_worker("emails:high"):
        await events.wait_for(JobProcessed, 1)
        await turns()
    assert order == [("emails", Priority.HIGH)]
    async with make_worker("emails", concurrency=1):
        await events.wait_for(JobProcessed, 4)
    assert [priority for _, priority in order] == [10, 1, 1, 0]


@pytest.mark.case("PRI-07")
@pytest.mark.parametrize(("given", "expected"), [(None, 0), (Priority.HIGH, 10), (0, 0), (7, 7)])
async def test_the_priority_given_at_dispatch_wins(queue, given, expected):
    class Lowly(Job, priority=Priority.LOW):
        async def handle(self, ctx: Context) -> None: ...

    handle = await queue.dispatch(Lowly(), priority=given)
    assert (await handle.status()).priority == expected
    lane = await (await queue.dispatch(Lowly(), queue="q:high", priority=given)).status()
    assert (lane.queue, lane.priority) == ("q", 10 if given is None else expected)


@pytest.mark.case("PRI-05", "PRI-06")
async def test_a_job_works_out_its_own_priority_and_queue(queue):
    def rule(job):
        return Priority.HIGH if job.urgent else Priority.NORMAL if job.paid else Priority.LOW

    class Ruled(Job, priority=rule, queue=lambda job: "vip" if job.paid else "plebs"):
        urgent: bool = False
        paid: bool = False

        async def handle(self, ctx: Context) -> None: ...

    jobs = [Ruled(urgent=True, paid=True), Ruled(paid=True), Ruled()]
    found = [await (await queue.dispatch(job)).status() for job in jobs]
    assert [(i.priority, i.queue) for i in found] == [(10, "vip"), (1, "vip"), (0, "plebs")]


@pytest.mark.case("PRI-11", "PRI-12")
async def test_a_high_job_that_is_not_due_waits_and_is_still_high_after_a_retry(
    queue, make_worker, clock, events
):
    order = []

    class Noted(Job, backoff=10):
        name_: str
        fails: bool = False

        async def handle(self, ctx: Context) -> None:
            order.append(self.name_)
            if self.fails and ctx.attempt == 1:
                raise ValueError

    await queue.dispatch(Noted("later"), priority=Priority.HIGH, delay=3600)
    await queue.dispatch(Noted("high", fails=True), priority=Priority.HIGH)
    await queue.dispatch(Noted("low"), priority=Priority.LOW)
    async with make_worker(concurrency=1):
        await events.wait_for(JobProcessed, 1)
    await queue.dispatch(Noted("normal"))
    clock.advance(10)
    async with make_worker(concurrency=1):
        await events.wait_for(JobProcessed, 3)
    assert order == ["high", "low", "high", "normal"]


# Pause and cancel


@pytest.mark.case("WRK-31")
async def test_a_paused_queue_starts_nothing_new(queue, make_worker, busy, slow, events):
    _first, second = await queue.dispatch_many([slow(1), slow(2)], queue="emails")
    async with make_worker(["emails", "others"], concurrency=1):
        await until(lambda: busy.now == 1)
        await queue.pause("emails")
        assert await queue.paused() == ["emails"]
        busy.gate.set()
        await events.wait_for(JobProcessed, 1)
        other = await queue.dispatch(slow(3), queue="others")
        await other.result(PATIENCE)
        assert (await second.status()).state is State.PENDING
        await queue.resume("emails")
        await second.result(PATIENCE)
    assert await queue.paused() == []
    names = [type(event).__name__ for event in events.all]
    assert names.count("QueuePaused") == names.count("QueueResumed") == 1


@pytest.mark.case("MON-16")
async def test_a_waiting_job_that_is_cancelled_never_runs(queue, make_worker, events, stage):
    job = define(obedient, stage)
    now, later = await queue.dispatch(job()), await queue.dispatch(job(), delay=60)
    assert await now.cancel() is True
    assert await queue.cancel(later.id) is True
    assert await now.cancel() is False
    async with make_worker(stop_when_empty=True) as worker:
        await worker.run()
    assert stage.contexts == []
    assert [(await h.status()).state for h in (now, later)] == [State.CANCELLED] * 2
    assert [n for n in events.of_jobs() if n != "JobQueued"] == ["JobCancelled"] * 2


@pytest.mark.parametrize("kind", ["obedient", "swallows", "raises", "plain"])
async def test_a_running_job_that_is_cancelled_ends_as_cancelled(
    queue, make_worker, events, stage, kind
):

    handlings = {
        "obedient": obedient,
        "swallows": swallows_and_returns,
        "raises": swallows_and_raises,
    }
    job = define_plain(stage) if kind == "plain" else define(handlings[kind], stage)
    handle = await queue.dispatch(job())
    async with make_worker() as worker:
        await stage.started.wait()
        assert await handle.cancel() is True
        async with asyncio.timeout(PATIENCE):
            while (await handle.status()).state is not State.CANCELLED:
                await asyncio.sleep(0.005)
        assert stage.ctx.cause == "cancelled"
        assert worker.running
        stage.thread_may_end.set()
    assert stage.hooked == []
    assert events.of_jobs() == ["JobQueued", "JobProcessing", "JobCancelled"]
    assert (await queue.failed.list()).total == 0


async def test_a_prefetched_job_that_is_cancelled_never_runs(
    queue, make_worker, busy, slow, events
):
    handles = await queue.dispatch_many([slow(n) for n in range(3)])
    async with make_worker(concurrency=1, prefetch=2):
        await until(lambda: busy.now == 1)
        while (await handles[1].status()).state is not State.PROCESSING:
            await asyncio.sleep(0)
        assert await handles[1].cancel() is True
        async with asyncio.timeout(PATIENCE):
            while (await handles[1].status()).state is not State.CANCELLED:
                await asyncio.sleep(0.005)
        busy.gate.set()
        await events.wait_for(JobProcessed, 2)
    assert [what for _, what in busy.order] == [0, 2]


async def test_a_cancelled_job_that_leaks_does_not_run_again(
    queue, make_worker, clock, stage, driver
):

    handle = await queue.dispatch(define(deaf, stage)())
    async with make_worker(lease=60, drain_timeout=5):
        await stage.started.wait()
        await handle.cancel()
        async with asyncio.timeout(PATIENCE):
            await stage.cancelled.wait()
        clock.advance(5)
        await asyncio.sleep(0.005)
        for _ in range(6):
            clock.advance(20)
            await asyncio.sleep(0.01)
        assert (await handle.status()).state is State.CANCELLED
    assert len(stage.contexts) == 1


async def test_cancelling_what_is_finished_or_unknown(queue, make_worker):

    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    handle = await queue.dispatch(Quick())
    async with make_worker():
        await handle.result(PATIENCE)
    assert await handle.cancel() is False
    with pytest.raises(JobNotFound):
        await queue.cancel("unknown")


# Ends by itself


@pytest.mark.case("WRK-26")
@pytest.mark.parametrize(
    "options", [{}, {"prefetch": 5}, {"concurrency": 1}, {"concurrency": 1, "prefetch": 9}]
)
async def test_exactly_as_many_jobs_as_allowed_are_started(queue, make_worker, events, options):
    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    handles = await queue.dispatch_many([Quick() for _ in range(7)])
    for total in (3, 6, 7):
        worker = make_worker(max_jobs=3, stop_when_empty=total == 7, **options)
        async with asyncio.timeout(PATIENCE):
            await worker.run()
        assert len(events.of(JobProcessing)) == len(events.of(JobProcessed)) == total
        assert worker.stop_reason == ("empty" if total == 7 else "max_jobs")
        left = [(await h.status()) for h in handles]
        assert not [info for info in left if info.state is State.PROCESSING]
        assert {info.attempts for info in left if info.state is State.PENDING} <= {0}


@pytest.mark.parametrize("name", ["first", "second"])
async def test_the_limit_is_shared_by_all_pools(queue, make_worker, events, name):
    """A pool that had to wait for the other's unused share goes on when that comes back."""

    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    await queue.dispatch_many([Quick() for _ in range(3)], queue=name)
    async with asyncio.timeout(PATIENCE):
        await make_worker({"first": 1, "second": 1}, max_jobs=2).run()
    assert len(events.of(JobProcessing)) == 2


async def test_failures_and_retries_count_as_started(queue, make_worker, events):
    class Breaks(Job, backoff=0, max_attempts=10):
        async def handle(self, ctx: Context) -> None:
            raise ValueError

    await queue.dispatch(Breaks())
    async with asyncio.timeout(PATIENCE):
        await make_worker(max_jobs=3).run()
    assert len(events.of(JobProcessing)) == 3


async def test_jobs_that_cannot_be_run_do_not_count_as_started(queue, make_worker, events):
    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    class Gone(Job):
        async def handle(self, ctx: Context) -> None: ...

    await queue.dispatch_many([Gone(), Gone(), Quick(), Quick(), Quick()])
    del default_registry._makers["Gone"]
    async with asyncio.timeout(PATIENCE):
        await make_worker(max_jobs=2).run()
    assert len(events.of(JobProcessing)) == 2


@pytest.mark.case("WRK-32")
@pytest.mark.parametrize("pools", ["default", {"default": 2, "others": 2}])
async def test_a_worker_may_end_when_there_is_nothing_left(queue, make_worker, events, pools):
    """Also what jobs dispatch is done first."""

    class Splits(Job):
        depth: int

        async def handle(self, ctx: Context) -> None:
            await asyncio.sleep(0)
            if self.depth:
                to = "default" if pools == "default" else ("others", "default")[self.depth % 2]
                await ctx.dispatch(Splits(self.depth - 1), queue=to)
                await ctx.dispatch(Splits(self.depth - 1))

    await queue.dispatch(Splits(4))
    worker = make_worker(pools, stop_when_empty=True)
    async with asyncio.timeout(PATIENCE):
        await worker.run()
    assert len(events.of(JobProcessed)) == 31
    assert worker.stop_reason == "empty"


@pytest.mark.case("WRK-33")
async def test_a_time_limit_ends_the_worker_after_the_current_job(
    queue, make_worker, clock, busy, slow, events
):
    await queue.dispatch_many([slow(1), slow(2)])
    worker = make_worker(max_time=60, concurrency=1, timeout=1000)
    running = asyncio.create_task(worker.run())
    await until(lambda: busy.now == 1)
    clock.advance(60)
    await turns(5)
    assert not running.done()
    busy.gate.set()
    await running
    assert worker.stop_reason == "max_time"
    assert len(events.of(JobProcessed)) == 1


@pytest.mark.case("WRK-33")
async def test_a_memory_limit_ends_the_worker_after_the_current_job(
    queue, make_worker, slow, busy, events
):
    busy.gate.set()
    await queue.dispatch_many([slow(n) for n in range(200)])
    worker = make_worker(max_memory_mb=1, concurrency=1)
    async with asyncio.timeout(PATIENCE):
        await worker.run()
    assert worker.stop_reason == "max_memory"
    assert len(events.of(JobProcessed)) < 200


async def test_a_limit_does_not_interrupt_but_a_stop_after_it_does(
    queue, make_worker, stage, clock
):
    handle = await queue.dispatch(define(obedient, stage, timeout=1000)())
    worker = make_worker(max_time=60)
    running = asyncio.create_task(worker.run())
    await stage.started.wait()
    clock.advance(60)
    await turns(5)
    assert not stage.ctx.cancelled.is_set()
    await worker.stop()
    await running
    assert stage.ctx.cause == "shutdown"
    assert (await handle.status()).attempts == 0


# Outages


@pytest.fixture
async def weak(driver, make_queue):
    weak = frail(driver)
    queue = make_queue(weak)
    yield queue
    weak.broken.clear()
    await queue.close()
    await weak.close()


@pytest.mark.case("WRK-16")
async def test_claims_that_fail_are_logged_once_and_recover(weak, make_worker, caplog):
    class Quick(Job):
        async def handle(self, ctx: Context) -> str:
            return "ran"

    weak.driver.broken.add("claim")
    async with make_worker(on=weak, poll_interval=0.001):
        handle = await weak.dispatch(Quick())
        await until(lambda: weak.driver.calls["claim"] >= 4)
        weak.driver.broken.clear()
        assert await handle.result(PATIENCE) == "ran"
    about = [r for r in caplog.records if "claim jobs" in r.getMessage()]
    assert [r.levelno for r in about] == [logging.ERROR, logging.WARNING]


@pytest.mark.case("RTY-16", "FLD-05", "EVT-04")
@pytest.mark.parametrize(
    ("attempts", "told", "state"),
    [(1, JobFailed, State.FAILED), (3, JobRetrying, State.DELAYED)],
    ids=["failed", "retried"],
)
async def test_an_outcome_that_cannot_be_stored_is_stored_later_and_said_then(
    weak, make_worker, caplog, attempts, told, state
):
    events = Recorder(weak)

    class Breaks(Job, max_attempts=attempts, backoff=60):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

    weak.driver.broken.add("settle")
    handle = await weak.dispatch(Breaks())
    async with make_worker(on=weak):
        await until(lambda: weak.driver.calls["settle"] >= 3)
        assert events.of_jobs() == ["JobQueued", "JobProcessing"]
        assert (await handle.status()).state is State.PROCESSING
        assert (await weak.failed.list()).total == 0
        weak.driver.broken.clear()
        await events.wait_for(told)
    info = await handle.status()
    assert (info.state, info.attempts) == (state, 1)
    assert events.of_jobs() == ["JobQueued", "JobProcessing", told.__name__]
    about = [r for r in caplog.records if "store how jobs ended" in r.getMessage()]
    assert [r.levelno for r in about] == [logging.ERROR, logging.WARNING]


async def test_a_driver_with_a_bug_does_not_end_the_worker(weak, make_worker, caplog):
    class Quick(Job):
        async def handle(self, ctx: Context) -> str:
            return "ran"

    sound = weak.driver.claim
    calls = []

    async def buggy(*args):
        calls.append(args)
        if len(calls) < 3:
            raise ZeroDivisionError
        return await sound(*args)

    weak.driver.claim = buggy
    async with make_worker(on=weak, poll_interval=0.001):
        assert await (await weak.dispatch(Quick())).result(PATIENCE) == "ran"


# What cannot be run


@pytest.mark.case("REG-06", "REG-10")
async def test_an_unknown_kind_goes_to_the_failed_store_and_the_next_job_runs(
    queue, make_worker, events, caplog
):
    class Gone(Job):
        n: int

        async def handle(self, ctx: Context) -> None: ...

        async def failed(self, ctx: Context, error: BaseException) -> None:
            raise AssertionError

    class Quick(Job):
        async def handle(self, ctx: Context) -> str:
            return "ran"

    gone = await queue.dispatch(Gone(7), max_attempts=5)
    quick = await queue.dispatch(Quick())
    del default_registry._makers["Gone"]
    async with make_worker(concurrency=1):
        assert await quick.result(PATIENCE) == "ran"
    record = await queue.failed.get(gone.id)
    assert (record.name, record.payload, record.attempts) == ("Gone", {"n": 7}, 1)
    assert record.error.startswith("UnknownJob: ")
    assert events.of(JobFailed) == []
    assert [r.levelno for r in caplog.records if gone.id in r.getMessage()] == [logging.WARNING]


async def test_an_unknown_kind_may_be_released_instead(queue, make_worker, clock):
    """It waits, its attempt given back, until a worker knows it."""

    class Gone(Job):
        async def handle(self, ctx: Context) -> str:
            return f"attempt {ctx.attempt}"

    handle = await queue.dispatch(Gone())
    del default_registry._makers["Gone"]
    async with make_worker(unknown_jobs="release"):
        while (await handle.status()).state is not State.DELAYED:
            await asyncio.sleep(0.001)
        assert (await handle.status()).attempts == 0
        register(Gone)
        clock.advance(15)
        assert await handle.result(PATIENCE) == "attempt 1"


GARBAGE = {
    "nothing": b"",
    "text": b"not a job",
    "another type": b"\x93\x01\x02\x03",
    "cut off": b"\x82\xa1v\x01\xa4data\x81\xa1n",
    "from the future": b"\x82\xa1v\x63\xa4data\x80",
    "a wrong field": b"\x82\xa1v\x01\xa4data\x81\xa1n\xa3one",
    "a missing field": b"\x82\xa1v\x01\xa4data\x80",
    "deeply nested": b"\x82\xa1v\x01\xa4data" + b"\x91" * 5000 + b"\xc0",
}


@pytest.mark.case("FLD-06")
@pytest.mark.parametrize("payload", GARBAGE.values(), ids=GARBAGE)
async def test_a_payload_that_cannot_be_read_is_kept_and_the_next_job_runs(
    queue, driver, make_worker, events, payload
):
    class Counted(Job):
        n: int

        async def handle(self, ctx: Context) -> int:
            return self.n

    await queue.ready()
    await driver.enqueue([Record("garbage", "default", "Counted", payload)])
    after = await queue.dispatch(Counted(5))
    async with make_worker(concurrency=1):
        assert await after.result(PATIENCE) == 5
    record = await queue.failed.get("garbage")
    assert record.error.startswith("PayloadError: ")
    assert record.payload is not None
    assert events.of(JobFailed) == []


@pytest.mark.case("REG-11")
@pytest.mark.parametrize(
    "broken", [ValueError("no"), asyncio.CancelledError(), SystemExit(1)], ids=repr
)
async def test_a_factory_that_raises_fails_its_job_only(make_queue, make_worker, broken):
    class Made(Job):
        n: int = 0

        async def handle(self, ctx: Context) -> int:
            return self.n

    def factory(payload):
        if payload["n"] == 1:
            raise broken
        return Made(payload["n"] * 10)

    registry = Registry()
    registry.register("Made", factory)
    queue = make_queue(registry=registry)
    bad = await queue.dispatch_named("Made", {"n": 1})
    good = await queue.dispatch_named("Made", {"n": 2})
    async with make_worker(on=queue, concurrency=1):
        assert await good.result(PATIENCE) == 20
    assert type(broken).__name__ in (await queue.failed.get(bad.id)).error


@pytest.mark.case("REG-03")
async def test_a_kind_that_is_registered_late_runs_from_then_on(make_queue, make_worker):
    class Late(Job):
        async def handle(self, ctx: Context) -> str:
            return "ran"

    registry = Registry()
    queue = make_queue(registry=registry)
    async with make_worker(on=queue):
        early = await queue.dispatch(Late())
        while (await early.status()).state is not State.FAILED:
            await asyncio.sleep(0.001)
        registry.register(Late)
        assert await (await queue.dispatch(Late())).result(PATIENCE) == "ran"


@pytest.mark.case("DSP-13")
async def test_dispatching_an_unknown_name_is_refused(queue):
    with pytest.raises(UnknownJob, match="Unheard"):
        await queue.dispatch_named("Unheard", {})
    assert await queue.stats()
    assert await queue.size("default") == 0


@pytest.mark.case("WRK-03")
async def test_a_worker_looks_at_every_poll_interval(weak, make_worker, monkeypatch):
    waits, enough, sound = [], asyncio.Event(), Watch.wait

    async def wait(self, timeout):
        waits.append((timeout, weak.driver.calls["claim"]))
        if len(waits) > 3:
            enough.set()
            await sound(self, timeout)

    monkeypatch.setattr(Watch, "wait", wait)
    async with make_worker(on=weak, poll_interval=7), asyncio.timeout(PATIENCE):
        await enough.wait()
    assert waits[:4] == [(7, 1), (7, 2), (7, 3), (7, 4)]


async def test_a_worker_looks_again_when_the_next_job_is_due(queue, make_worker, monkeypatch):
    class Later(Job):
        async def handle(self, ctx: Context) -> None: ...

    waits, enough, sound = [], asyncio.Event(), Watch.wait

    async def wait(self, timeout):
        waits.append(timeout)
        enough.set()
        await sound(self, timeout)

    monkeypatch.setattr(Watch, "wait", wait)
    await queue.dispatch(Later(), delay=5)
    async with make_worker(poll_interval=60), asyncio.timeout(PATIENCE):
        await enough.wait()
    assert waits[0] == pytest.approx(5, abs=0.1)


@pytest.mark.case("WRK-03", "WRK-04", "WRK-07", "WRK-08")
def test_the_defaults_of_a_worker(queue):
    worker = Worker(queue)
    assert (worker.defaults.max_attempts, worker.defaults.timeout) == (3, 30)
    assert worker.defaults.backoff == exponential(1, 300)
    assert (worker.timing.lease, worker.timing.grace, worker.timing.drain) == (30, 0, 5)
    assert worker.timing.poll_interval == 0.1
    assert worker.concurrency == 10


async def test_a_stop_is_heard_while_a_failing_claim_is_in_flight(
    driver, make_queue, make_worker, monkeypatch
):
    """Otherwise the worker would sleep out the pause of the outage first."""
    asked, fails = asyncio.Event(), asyncio.Event()

    async def claim(*args):
        asked.set()
        await fails.wait()
        raise DriverUnavailable("away")

    weak = frail(driver)
    monkeypatch.setattr(weak, "claim", claim)
    worker = make_worker(on=make_queue(weak), poll_interval=30)
    await worker.start()
    await asked.wait()
    stopping = asyncio.create_task(worker.stop())
    await until(lambda: worker.stop_reason)
    fails.set()
    async with asyncio.timeout(PATIENCE):
        await stopping
