"""What a dispatch stores, when it is due, which one wins, and what is refused."""

from __future__ import annotations

import asyncio
import math
import sys
from datetime import datetime, timedelta

import pytest

from asyncqueue import (
    Context,
    DriverUnavailable,
    Job,
    JobProcessed,
    JobQueued,
    PayloadError,
    PayloadTooLarge,
    Priority,
    Registry,
    Settings,
    State,
)

from ..recorder import PATIENCE, until
from .frail import frail


class Quick(Job, name="DispatchedQuick"):
    n: int = 0

    async def handle(self, ctx: Context) -> int:
        return self.n


# Which queue, when


@pytest.mark.case("DSP-01", "DSP-02", "DSP-06", "DSP-07", "DSP-18", "DSP-27")
@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (None, None, "default"),
        ("", "", "default"),
        ("orders", None, "orders"),
        ("orders", "", "orders"),
        ("orders", "vip", "vip"),
        (None, "vip", "vip"),
    ],
)
async def test_which_queue_wins(queue, own, given, expected):
    class Placed(Job, queue=own):
        async def handle(self, ctx: Context) -> None: ...

    handle = await queue.dispatch(Placed(), queue=given)
    assert (await handle.status()).queue == expected
    assert await queue.size(expected) == 1


async def test_the_settings_name_the_default_queue(make_queue):
    queue = make_queue(settings=Settings(default="main"))
    handle = await queue.dispatch(Quick())
    assert (await handle.status()).queue == "main"


@pytest.mark.case("DSP-03", "DSP-10", "DSP-23", "DSP-25")
@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (0, None, 0),
        (10, None, 10),
        (10, 1, 1),
        (10, 0, 0),
        (0, timedelta(minutes=5), 300),
        (0, -5, 0),
        (timedelta(seconds=2), None, 2),
        (lambda job: job.n * 2, None, 14),
    ],
)
async def test_when_a_job_is_due(queue, clock, own, given, expected):
    class Delayed(Job, delay=own):
        n: int = 7

        async def handle(self, ctx: Context) -> None: ...

    info = await (await queue.dispatch(Delayed(), delay=given)).status()
    assert (info.available_at - clock.now()).total_seconds() == expected
    assert info.state is (State.DELAYED if expected else State.PENDING)


@pytest.mark.case("DSP-10", "EVT-03")
async def test_no_event_tells_of_a_negative_delay(queue, events):
    await queue.dispatch(Quick(), delay=-5)
    assert [event.delay for event in events.of(JobQueued)] == [0]


async def test_as_many_attempts_as_a_number_holds(queue):
    handle = await queue.dispatch(Quick(), max_attempts=sys.maxsize)
    assert (await handle.status()).max_attempts == sys.maxsize


@pytest.mark.case("DSP-20", "DSP-26")
@pytest.mark.parametrize("hours", [1, 0, -1])
async def test_a_job_can_be_due_at_an_instant(queue, clock, hours):
    instant = clock.now() + timedelta(hours=hours)
    info = await (await queue.dispatch(Quick(), at=instant)).status()
    assert info.available_at == max(instant, clock.now())


@pytest.mark.case("DSP-05", "DRV-02")
async def test_delayed_jobs_run_when_they_are_due_and_not_before(queue, make_worker, clock, events):
    for n in range(6):
        await queue.dispatch(Quick(n), delay=n * 10 if n % 2 else 0)
    async with make_worker(concurrency=1):
        await events.wait_for(JobProcessed, 3)
        for count, step in ((4, 10), (5, 20), (6, 20)):
            clock.advance(step - 1)
            await asyncio.sleep(0.03)
            assert len(events.of(JobProcessed)) == count - 1
            clock.advance(1)
            await events.wait_for(JobProcessed, count)
    ids = [event.job_id for event in events.of(JobProcessed)]
    assert [(await queue.status(id)).result for id in ids] == [0, 2, 4, 1, 3, 5]


@pytest.mark.case("DSP-15", "DSP-24", "DSP-28")
async def test_a_fresh_job(queue, clock):
    handle = await queue.dispatch(
        Quick(3), queue="q", delay=5, priority=Priority.HIGH, max_attempts=9, id="mine"
    )
    assert (handle.id, handle.duplicate) == ("mine", False)
    info = await handle.status()
    assert (info.name, info.queue, info.state) == ("DispatchedQuick", "q", State.DELAYED)
    assert (info.attempts, info.max_attempts, info.priority) == (0, 9, 10)
    assert info.created_at == clock.now()
    assert (info.started_at, info.finished_at, info.worker, info.error) == (None,) * 4


# What is refused


@pytest.mark.case("DSP-09")
@pytest.mark.parametrize(
    "wrong", [None, 5, "job", Quick, {"n": 1}, object()], ids=lambda wrong: str(wrong)[:12]
)
async def test_what_is_no_job_is_refused(queue, wrong):
    with pytest.raises(TypeError):
        await queue.dispatch(wrong)
    with pytest.raises(TypeError):
        await queue.dispatch_many([Quick(), wrong])
    with pytest.raises(TypeError):
        await queue.dispatch_many(wrong)
    assert await queue.size("default") == 0


@pytest.mark.parametrize(
    "options",
    [
        {"delay": math.nan},
        {"delay": math.inf},
        {"delay": "5"},
        {"delay": ""},
        {"at": datetime(2030, 1, 1)},  # noqa: DTZ001 - naive on purpose
        {"priority": 40_000},
        {"priority": True},
        {"id": 7},
        {"id": "x" * 201},
        {"max_attempts": -1},
        {"max_attempts": 2**63},
        {"timeout": 0},
        {"timeout": -1},
        {"backoff": lambda *_: 1},
        {"backoff": -1},
        {"queue": 5},
    ],
    ids="-".join,
)
async def test_options_that_make_no_sense_are_refused_and_nothing_is_stored(queue, options):
    with pytest.raises((ValueError, TypeError)):
        await queue.dispatch(Quick(), **options)
    assert await queue.size("default") == 0


@pytest.mark.case("DSP-14", "DSP-21", "DSP-30")
async def test_many_are_stored_together_or_not_at_all(queue, events):
    with pytest.raises(PayloadError, match="DispatchedQuick"):
        await queue.dispatch_many([Quick(1), Quick(2), Quick("three")])
    assert await queue.size("default") == 0
    assert events.of(JobQueued) == []
    handles = await queue.dispatch_many([Quick(n) for n in range(3)], queue="q")
    assert len({handle.id for handle in handles}) == 3
    assert await queue.size("q") == 3
    assert await queue.dispatch_many([]) == []
    with pytest.raises(TypeError):
        await queue.dispatch_many([Quick()], id="one")


async def test_a_job_that_is_too_large_is_refused(make_queue):
    class Large(Job):
        data: bytes

        async def handle(self, ctx: Context) -> None: ...

    queue = make_queue(settings=Settings(max_payload=1000))
    await queue.dispatch(Large(b"x" * 900))
    with pytest.raises(PayloadTooLarge, match="Large"):
        await queue.dispatch(Large(b"x" * 1001))
    assert await queue.size("default") == 1


async def test_a_store_that_is_away_is_reported_and_nothing_is_half_stored(driver, make_queue):
    weak = frail(driver)
    queue = make_queue(weak)
    weak.broken.add("enqueue")
    with pytest.raises(DriverUnavailable):
        await queue.dispatch(Quick())
    with pytest.raises(DriverUnavailable):
        await queue.dispatch_many([Quick(), Quick()])
    weak.broken.clear()
    await queue.dispatch(Quick())
    assert await queue.size("default") == 1


@pytest.mark.case("DRV-09")
async def test_many_dispatches_at_once_are_each_stored(queue, events):
    handles = await asyncio.gather(*(queue.dispatch(Quick(n)) for n in range(50)))
    assert len({handle.id for handle in handles}) == 50
    assert await queue.size("default") == 50
    assert len(events.of(JobQueued)) == 50


@pytest.mark.case("DSP-08")
async def test_a_dispatch_that_is_cancelled_before_it_began_stores_nothing(queue):
    dispatching = asyncio.create_task(queue.dispatch(Quick()))
    dispatching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dispatching
    assert await queue.size("default") == 0


# By name


@pytest.mark.case("DSP-11")
async def test_dispatch_by_name_is_as_strict_as_the_class(queue, make_worker):
    handle = await queue.dispatch_named("DispatchedQuick", {"n": 5}, "emails", delay=0)
    assert (await handle.status()).queue == "emails"
    async with make_worker("emails"):
        assert await handle.result(PATIENCE) == 5
    for wrong in ({"n": "five"}, {"m": 5}, {"n": 5, "extra": 1}):
        with pytest.raises(PayloadError):
            await queue.dispatch_named("DispatchedQuick", wrong)
    with pytest.raises(TypeError):
        await queue.dispatch_named("DispatchedQuick", [5])


# Duplicates


async def test_an_id_that_is_known_stores_nothing(queue, make_worker, events):
    first = await queue.dispatch(Quick(1), id="same")
    second = await queue.dispatch(Quick(2), id="same")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert (await queue.size("default"), len(events.of(JobQueued))) == (1, 1)
    async with make_worker():
        assert await second.result(PATIENCE) == 1
    third = await queue.dispatch(Quick(3), id="same")
    assert third.duplicate
    assert await third.result() == 1


@pytest.mark.case("DRV-14", "UNQ-02", "UNQ-05")
async def test_a_unique_job_is_stored_once_until_it_is_finished(queue, make_worker, events):
    class Once(Job, unique=True, backoff=0):
        n: int

        async def handle(self, ctx: Context) -> int:
            if ctx.attempt == 1:
                duplicate = await ctx.dispatch(Once(self.n))
                assert duplicate.id == ctx.job_id
                raise ValueError
            return ctx.attempt

    first = await queue.dispatch(Once(1))
    again = await queue.dispatch(Once(1))
    other = await queue.dispatch(Once(2))
    assert (first.duplicate, again.duplicate, other.duplicate) == (False, True, False)
    assert again.id == first.id
    async with make_worker():
        assert await first.result(PATIENCE) == 2
    assert not (await queue.dispatch(Once(1))).duplicate


@pytest.mark.case("DRV-14")
async def test_an_empty_id_or_key_is_none(queue):
    class PerhapsOnce(Job, unique=lambda job: job.key):
        key: str

        async def handle(self, ctx: Context) -> None: ...

    handles = [
        *[await queue.dispatch(PerhapsOnce(key=""), id="") for _ in range(2)],
        *[await queue.dispatch(PerhapsOnce(key="a")) for _ in range(2)],
    ]
    assert [handle.duplicate for handle in handles] == [False, False, False, True]
    assert all(handle.id for handle in handles)
    assert await queue.size("default") == 3


async def test_a_unique_job_that_failed_can_be_dispatched_again(queue, make_worker):
    class Once(Job, unique=lambda job: "key", max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise ValueError

    first = await queue.dispatch(Once())
    async with make_worker():
        while (await first.status()).state is not State.FAILED:
            await asyncio.sleep(0.001)
    assert not (await queue.dispatch(Once())).duplicate


async def test_a_key_may_be_held_until_processing_only_or_for_a_time(queue, make_worker, clock):
    started = asyncio.Event()

    class Soon(Job, unique=True, unique_until="processing"):
        async def handle(self, ctx: Context) -> None:
            started.set()
            await asyncio.Event().wait()

    class Timed(Job, unique=True, unique_for=60, queue="others"):
        async def handle(self, ctx: Context) -> None: ...

    await queue.dispatch(Soon())
    assert (await queue.dispatch(Soon())).duplicate
    await queue.dispatch(Timed())
    clock.advance(59)
    assert (await queue.dispatch(Timed())).duplicate
    clock.advance(1)
    assert not (await queue.dispatch(Timed())).duplicate
    async with make_worker(concurrency=1):
        await started.wait()
        assert not (await queue.dispatch(Soon())).duplicate


async def test_a_unique_job_given_back_by_a_stop_still_holds_its_key(queue, make_worker):
    started = asyncio.Event()

    class Once(Job, unique=True):
        async def handle(self, ctx: Context) -> None:
            started.set()
            await asyncio.Event().wait()

    await queue.dispatch(Once())
    async with make_worker():
        await started.wait()
    assert (await queue.dispatch(Once())).duplicate


# What comes back


@pytest.mark.case("DRV-08", "REG-04", "RTY-26")
async def test_nothing_is_shared_with_the_callers_object(queue, make_worker):
    seen = []

    class Carries(Job):
        items: list[int]
        nested: dict[str, list[int]]

        async def handle(self, ctx: Context) -> None:
            seen.append((list(self.items), {k: list(v) for k, v in self.nested.items()}))
            self.items.append(99)
            self.nested["x"].append(99)

    job = Carries([1], {"x": [2]})
    first = await queue.dispatch(job)
    job.items.append(5)
    second = await queue.dispatch(job)
    async with make_worker(concurrency=1):
        await first.result(PATIENCE)
        await second.result(PATIENCE)
    assert seen == [([1], {"x": [2]}), ([1, 5], {"x": [2]})]
    assert job.items == [1, 5]


@pytest.mark.case("REG-01", "REG-08", "REG-14")
async def test_a_factory_rebuilds_jobs(make_queue, make_worker):
    built = []

    def factory(payload):
        built.append(payload)
        return Quick(payload["n"] + 1)

    registry = Registry()
    registry.register("chosen", factory)
    queue = make_queue(registry=registry)
    handle = await queue.dispatch_named("chosen", {"n": 1})
    async with make_worker(on=queue):
        assert await handle.result(PATIENCE) == 2
    assert built == [{"n": 1}]


async def test_a_page_of_jobs_leads_to_the_next(queue):
    handles = [await queue.dispatch(Quick(n)) for n in range(5)]
    found, cursor = [], None
    while True:
        page = await queue.jobs(queue="default", limit=2, cursor=cursor)
        found += [info.id for info in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == [handle.id for handle in reversed(handles)]
    with pytest.raises(ValueError, match="state"):
        await queue.jobs(state="odd")


async def test_a_job_dispatched_to_an_idle_worker_starts_without_a_poll(queue, make_worker):
    """A wake-up, not the poll of a minute, starts it."""
    async with make_worker(poll_interval=60) as worker:
        await until(lambda: worker.running)
        await asyncio.sleep(0.02)
        assert await (await queue.dispatch(Quick(4))).result(PATIENCE) == 4


async def test_a_unique_function_that_returns_none_is_refused(queue):
    """All such jobs would be duplicates of each other, and lost in silence."""

    class Account(Job, unique=lambda job: job.number):
        number: int | None = None

        async def handle(self, ctx: Context) -> None: ...

    with pytest.raises(TypeError, match="unique= returned None"):
        await queue.dispatch(Account())
    assert not (await queue.dispatch(Account(0))).duplicate


async def test_a_loop_of_dispatches_lets_others_run(queue):
    class Small(Job):
        async def handle(self, ctx: Context) -> None: ...

    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    for _ in range(20):
        await queue.dispatch(Small())
    beside.cancel()
    assert turns >= 20
