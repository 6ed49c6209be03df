"""Limits, turns and the middleware that comes along: over all workers, kept by the store."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import (
    Context,
    DriverError,
    FailOn,
    Job,
    JobFailed,
    JobProcessed,
    JobReleased,
    JobRetrying,
    Limit,
    RateLimited,
    Retry,
    SkipIfBatchCancelled,
    State,
    ThrottlesExceptions,
    WithoutOverlapping,
)
from asyncqueue.options import JobOptions

from ..recorder import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue import Queue, Worker
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing import Clock

    from ..recorder import Recorder

started: list[Any] = []
gates: list[asyncio.Event] = []


@pytest.fixture(autouse=True)
def gate() -> asyncio.Event:
    """What handlers wait for; a new one for each test, for each has its own event loop."""
    started.clear()
    gates[:] = [asyncio.Event()]
    return gates[0]


@pytest.fixture
def drain(make_worker: Callable[..., Worker]) -> Callable[..., Any]:
    """Run all that is due."""

    async def run(**options: Any) -> None:
        await make_worker(stop_when_empty=True, lease=1e6, **options).run()

    return run


class LimitsCharge(Job, limit=Limit("stripe", concurrency=2, by=lambda job: job.tenant)):
    tenant: str
    n: int = 0

    async def handle(self, ctx: Context) -> None:
        started.append((self.tenant, self.n))
        await gates[0].wait()


class LimitsCall(Job, limit=Limit("api", rate=3, per=60)):
    n: int

    async def handle(self, ctx: Context) -> None:
        started.append(self.n)


class LimitsFair(Job, fair_by="tenant"):
    tenant: str

    async def handle(self, ctx: Context) -> None:
        started.append(self.tenant)


@pytest.mark.case("PRI-13", "MID-10")
async def test_no_more_of_a_key_run_at_a_time(
    queue: Queue, make_worker: Callable[..., Worker], events: Recorder
) -> None:
    await queue.dispatch_many([LimitsCharge(tenant, n) for tenant in "ab" for n in range(4)])
    async with make_worker(concurrency=5), make_worker(concurrency=5):
        await until(lambda: len(started) == 4)
        stats = (await queue.stats())["default"]
        assert (stats.processing, stats.pending) == (4, 4)
        assert await queue.size("default") == 4
        assert Counter(tenant for tenant, _ in started) == {"a": 2, "b": 2}
        gates[0].set()
        await events.wait_for(JobProcessed, 8)
    assert sorted(started) == [(tenant, n) for tenant in "ab" for n in range(4)]


@pytest.mark.case("MID-10")
async def test_no_more_start_in_a_window(queue: Queue, drain: Any, clock: Clock) -> None:
    await queue.dispatch_many([LimitsCall(n) for n in range(7)])
    await drain()
    assert started == [0, 1, 2]
    clock.advance(59)
    await drain()
    assert started == [0, 1, 2]
    clock.advance(1.1)
    await drain()
    assert started == [0, 1, 2, 3, 4, 5]
    clock.advance(60.1)
    await drain()
    assert len(started) == 7


@pytest.mark.case("PRI-13")
async def test_tenants_take_turns(queue: Queue, drain: Any) -> None:
    await queue.dispatch_many([LimitsFair("flood") for _ in range(30)])
    await queue.dispatch_many([LimitsFair("small") for _ in range(3)])
    await drain(concurrency=1)
    assert Counter(started[:6]) == {"flood": 3, "small": 3}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Limit(""),
        lambda: Limit("x"),
        lambda: Limit("x", rate=3),
        lambda: Limit("x", per=3),
        lambda: Limit("x", concurrency=0),
        lambda: Limit("x", rate=1, per=0),
        lambda: Limit("x", concurrency=True),
        lambda: Limit("x", concurrency=1, by="tenant"),  # type: ignore[arg-type]
        lambda: RateLimited("x", 0, 60),
        lambda: RateLimited("", 1, 60),
        lambda: ThrottlesExceptions(1, 0),
        lambda: WithoutOverlapping("x", release_after=0),
        FailOn,
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        make()


async def test_a_key_that_is_none_stores_nothing(queue: Queue) -> None:
    class Keyless(Job, limit=Limit("x", concurrency=1, by=lambda job: None), replace=True):
        async def handle(self, ctx: Context) -> None: ...

    with pytest.raises(ValueError, match="None"):
        await queue.dispatch(Keyless())
    assert await queue.size("default") == 0


def test_keywords_are_checked_where_they_are_written() -> None:
    assert JobOptions().limit == ()
    with pytest.raises(TypeError, match="limit"):

        class Wrong(Job, limit="stripe"):  # type: ignore[call-arg]
            pass


class LimitsLocked(Job, middleware=[WithoutOverlapping(lambda job: job.key, release_after=5)]):
    key: str
    breaks: bool = False

    async def handle(self, ctx: Context) -> None:
        started.append(self.key)
        await gates[0].wait()
        if self.breaks:
            raise ValueError("broken")


@pytest.mark.case("MID-09")
async def test_one_with_a_key_at_a_time(
    queue: Queue, make_worker: Callable[..., Worker], events: Recorder, clock: Clock
) -> None:
    await queue.dispatch(LimitsLocked("k", breaks=True), max_attempts=1)
    async with make_worker(concurrency=5, lease=1e6):
        await until(lambda: started)
        second = await queue.dispatch(LimitsLocked("k"))
        await queue.dispatch(LimitsLocked("other"))
        (released,) = await events.wait_for(JobReleased)
        assert (released.job_id, released.delay) == (second.id, 5.0)
        await until(lambda: sorted(started) == ["k", "other"])
        gates[0].set()
        await events.wait_for(JobFailed)
        clock.advance(6)
        await events.wait_for(JobProcessed, 2)
    status = await second.status()
    assert (status.state, status.attempts) == (State.COMPLETED, 1)


@pytest.mark.case("MID-09")
async def test_one_too_many_may_be_dropped(
    queue: Queue, make_worker: Callable[..., Worker], events: Recorder
) -> None:
    class Dropped(Job, middleware=[WithoutOverlapping("k", drop=True)], replace=True):
        async def handle(self, ctx: Context) -> None:
            started.append(1)
            await gates[0].wait()

    await queue.dispatch_many([Dropped(), Dropped()])
    async with make_worker(concurrency=5):
        await events.wait_for(JobProcessed)
        gates[0].set()
        await events.wait_for(JobProcessed, 2)
    assert started == [1]


@pytest.mark.case("MID-09")
async def test_a_lock_ends_by_itself(
    queue: Queue, driver: Driver, drain: Any, clock: Clock
) -> None:
    """Its holder may have died."""
    gates[0].set()
    await queue.ready()
    assert await driver.acquire("overlap:LimitsLocked:k", "a dead worker's job", 1, 60) == 0.0
    await queue.dispatch(LimitsLocked("k"))
    await drain()
    assert started == []
    clock.advance(61)
    await drain()
    assert started == ["k"]


async def test_a_lock_is_given_back_by_its_holder_only(
    queue: Queue, driver: Driver, make_worker: Callable[..., Worker], clock: Clock, events: Recorder
) -> None:
    """Neither by one that held it too long, nor by an attempt that lost its lease."""
    gates.append(asyncio.Event())

    class Locked(Job, middleware=[WithoutOverlapping("k", expires=60)], replace=True, timeout=1e5):
        async def handle(self, ctx: Context) -> None:
            contexts.append(ctx)
            await gates[len(contexts) - 1].wait()

    async def holders() -> list[str]:
        return [permit.holder for permit in await driver.holders("overlap:Locked:k")]

    contexts: list[Any] = []
    first = await queue.dispatch(Locked())
    async with make_worker(concurrency=5, lease=1e6):
        await until(lambda: len(contexts) == 1)
        assert await holders() == [first.id]
        clock.advance(61)
        second = await queue.dispatch(Locked())
        await until(lambda: len(contexts) == 2)
        gates[0].set()
        await events.wait_for(JobProcessed)
        assert await holders() == [second.id]
        run = contexts[1]._host
        run.interrupt("lease_lost", None)
        await until(run.task.done)
        assert await holders() == [second.id]


@pytest.mark.case("MID-10")
@pytest.mark.parametrize("drop", [False, True])
async def test_starts_are_limited(queue: Queue, drain: Any, clock: Clock, drop: bool) -> None:
    class Limited(Job, middleware=[RateLimited("calls", 2, 60, drop=drop)], replace=True):
        async def handle(self, ctx: Context) -> None:
            started.append(clock.time())

    handles = await queue.dispatch_many([Limited() for _ in range(3)])
    await drain(concurrency=1)
    assert len(started) == 2
    third = await handles[2].status()
    assert third.state is (State.COMPLETED if drop else State.DELAYED)
    assert third.attempts == int(drop)
    clock.advance(60.1)
    await drain(concurrency=1)
    assert len(started) == (2 if drop else 3)


@pytest.mark.case("MID-11")
async def test_errors_close_the_circuit_and_a_success_opens_it(
    queue: Queue, drain: Any, clock: Clock, events: Recorder
) -> None:
    class Flaky(Job, middleware=[ThrottlesExceptions(3, 600)], backoff=1, replace=True):
        breaks: bool = True

        async def handle(self, ctx: Context) -> None:
            started.append(self.breaks)
            if self.breaks:
                raise ValueError("broken")

    await queue.dispatch(Flaky(), max_attempts=10)
    for _ in range(5):
        await drain()
        clock.advance(2)
    assert started == [True] * 3
    await queue.dispatch(Flaky(breaks=False))
    await drain()
    assert started == [True] * 3
    assert len(events.of(JobRetrying)) == 3
    clock.advance(601)
    await queue.dispatch(Flaky(breaks=False), priority=10)
    await drain(concurrency=1)
    assert started[3] is False


async def test_only_errors_without_a_success_between_them_close_the_circuit(
    queue: Queue, drain: Any
) -> None:
    class Uneven(Job, middleware=[ThrottlesExceptions(2, 600)], max_attempts=1, replace=True):
        way: str

        async def handle(self, ctx: Context) -> None:
            started.append(self.way)
            if self.way == "error":
                raise ValueError("broken")
            if self.way == "retry":
                raise Retry(1000)

    for way in ("error", "fine", "error", "retry", "fine", "error", "error", "late"):
        await queue.dispatch(Uneven(way))
        await drain()
    assert started == ["error", "fine", "error", "retry", "fine", "error", "error"]


@pytest.mark.case("MID-12")
async def test_errors_may_be_final(queue: Queue, drain: Any, events: Recorder) -> None:
    class Guarded(Job, middleware=[FailOn(PermissionError)], replace=True):
        error: str

        async def handle(self, ctx: Context) -> None:
            raise PermissionError("no") if self.error == "permission" else ValueError("other")

    final = await queue.dispatch(Guarded("permission"), max_attempts=3)
    again = await queue.dispatch(Guarded("other"), max_attempts=3)
    await drain()
    assert (await final.status()).state is State.FAILED
    assert isinstance(events.of(JobFailed, final.id)[0].error, PermissionError)
    assert (await again.status()).state is State.DELAYED


@pytest.mark.case("BAT-13")
async def test_later_attempts_of_a_cancelled_batch_are_skipped(
    queue: Queue, drain: Any, clock: Clock
) -> None:
    class Member(Job, middleware=[SkipIfBatchCancelled()], replace=True):
        async def handle(self, ctx: Context) -> None:
            started.append(ctx.attempt)
            await queue.cancel_batch(ctx.batch_id or "")
            raise ValueError("again")

    batch = await queue.batch(Member()).dispatch()
    await drain()
    clock.advance(100)
    await drain()
    assert started == [1]
    found = await queue.find_batch(batch.id)
    assert found is not None
    assert found.finished


async def test_drivers_without_limits_say_so(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(queue.driver), "has_limits", property(lambda self: False))
    with pytest.raises(DriverError, match="LimitsCharge.*limit"):
        await queue.dispatch(LimitsCharge("a"))
    assert await queue.size("default") == 0
