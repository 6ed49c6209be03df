from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import (
    Context,
    Fail,
    Job,
    JobProcessed,
    JobTimeout,
    Queue,
    Retry,
    Snooze,
    UnknownJob,
    default_queue,
    dispatch,
    fixed,
)
from asyncqueue.record import Source
from asyncqueue.testing import Clock, FakeQueue, as_default, drain, pop, run_job

if TYPE_CHECKING:
    from pathlib import Path

seen: list[Any] = []
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Drop(Job, queue="drops", max_attempts=2, backoff=10):
    what: str

    async def handle(self, ctx: Context) -> str:
        seen.append((self.what, ctx.attempt))
        variable.set("set by a job")
        match self.what:
            case "raise":
                raise ValueError("boo")
            case "retry":
                raise Retry(5)
            case "snooze":
                raise Snooze(7)
            case "fail":
                raise Fail("no use")
            case "more":
                await ctx.dispatch(Drop("one more"), queue="another")
        return self.what.upper()

    async def failed(self, ctx: Context, error: BaseException) -> None:
        seen.append(("failed", str(error)))


class DropAgain(Job, max_attempts=3, backoff=0):
    async def handle(self, ctx: Context) -> None:
        seen.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")


class DropPlain(Job):
    n: int

    def handle(self, ctx: Context) -> int:
        return self.n * 2


class DropForEver(Job):
    async def handle(self, ctx: Context) -> None:
        await ctx.dispatch(self)


class DropHang(Job, timeout=0.05, max_attempts=1):
    async def handle(self, ctx: Context) -> None:
        seen.append("hangs")
        await asyncio.sleep(60)


class DropServed(Job):
    async def handle(self, ctx: Context, mailer: Mailer) -> str:
        return f"{mailer.name} {ctx.get(Mailer).name}"


class Mailer:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


# drain


async def test_it_runs_what_is_due_and_what_that_dispatches(queue: Queue) -> None:
    await queue.dispatch_many([Drop("a"), Drop("more")])
    await queue.dispatch(Drop("later"), delay=60)
    drained = await drain(queue)
    assert seen == [("a", 1), ("more", 1), ("one more", 1)]
    assert (drained.completed, drained.failed, drained.errors) == (3, 0, [])
    assert [attempt.result for attempt in drained.attempts] == ["A", "MORE", "ONE MORE"]
    assert await queue.size("drops") == 1


async def test_nothing_is_due(queue: Queue) -> None:
    assert (await drain(queue)).attempts == []


async def test_each_ending_is_counted(queue: Queue, clock: Clock) -> None:
    for what in ("a", "raise", "retry", "snooze", "fail"):
        await queue.dispatch(Drop(what))
    drained = await drain(queue)
    assert str(drained) == "1 completed, 1 failed, 1 retried, 2 released, 0 cancelled"
    assert [str(error) for error in drained.errors] == ["boo", "no use"]
    assert [attempt.delay for attempt in drained.attempts] == [None, 10, 5, 7, None]
    assert seen[-1] == ("failed", "no use")
    clock.advance(10)
    drained = await drain(queue)
    assert (drained.failed, drained.released) == (2, 1)
    assert (await queue.failed.list()).total == 3


@pytest.mark.case("TST-09")
async def test_time_is_moved_by_hand(queue: Queue, clock: Clock) -> None:
    await queue.dispatch(Drop("raise"))
    assert (await drain(queue)).retried == 1
    clock.advance(9.9)
    assert (await drain(queue)).attempts == []
    clock.advance(0.1)
    assert (await drain(queue)).failed == 1
    assert clock.pending == 0


async def test_what_is_due_again_at_once_runs_again(queue: Queue) -> None:
    await queue.dispatch(DropAgain())
    drained = await drain(queue)
    assert seen == [1, 2, 3]
    assert [attempt.ending for attempt in drained.attempts] == ["retried", "retried", "completed"]


async def test_errors_are_raised_where_asked_for(queue: Queue) -> None:
    first = await queue.dispatch(Drop("raise"))
    await queue.dispatch(Drop("a"))
    with pytest.raises(ValueError, match="boo"):
        await drain(queue, raise_errors=True)
    assert (await first.status()).state == "delayed"
    assert seen == [("raise", 1)]
    await queue.dispatch(Drop("snooze"))
    assert (await drain(queue, raise_errors=True)).released == 1


async def test_an_unknown_kind_fails(queue: Queue) -> None:
    handle = await queue.dispatch(Drop("a"))
    others = Queue(queue.driver, registry=type(queue.registry)())
    drained = await drain(others)
    assert drained.failed == 1
    assert isinstance(drained.errors[0], UnknownJob)
    assert (await handle.status()).state == "failed"


async def test_queues_are_served_in_their_order(queue: Queue) -> None:
    await queue.dispatch(Drop("a"))
    await queue.dispatch(Drop("b"), queue="first")
    await queue.dispatch(Drop("c"), queue="other")
    await queue.dispatch(Drop("d"), queue="drops:low")
    await drain(queue, queues=["first", "drops:normal"])
    assert seen == [("b", 1), ("a", 1)]
    await drain(queue, queues="drops")
    assert seen[2:] == [("d", 1)]
    assert await queue.size("other") == 1


async def test_a_paused_queue_gives_nothing(queue: Queue) -> None:
    await queue.dispatch(Drop("a"))
    await queue.pause("drops")
    assert (await drain(queue)).attempts == []
    await queue.resume("drops")
    assert (await drain(queue)).completed == 1


async def test_a_limit_ends_what_would_never_end(queue: Queue) -> None:
    await queue.dispatch(DropForEver())
    assert (await drain(queue, limit=5)).completed == 5
    assert (await drain(queue, limit=0)).attempts == []
    with pytest.raises(ValueError, match="negative"):
        await drain(queue, limit=-1)


async def test_a_deadline_of_the_caller_ends_it_too() -> None:
    queue = Queue("memory://")
    await queue.dispatch(DropForEver())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await drain(queue)
    assert await queue.size("default") == 1


async def test_a_cancelled_drain_hands_its_job_back(queue: Queue) -> None:
    handle = await queue.dispatch(DropHang())
    draining = asyncio.create_task(drain(queue))
    while not seen:
        await asyncio.sleep(0)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    info = await handle.status()
    assert (info.state, info.attempts) == ("pending", 0)


async def test_a_job_can_be_cancelled_while_it_runs(queue: Queue) -> None:
    class Doomed(Job, name="drain_doomed"):
        async def handle(self, ctx: Context) -> None:
            seen.append("runs")
            await asyncio.sleep(60)

        async def failed(self, ctx: Context, error: BaseException) -> None:
            seen.append("failed")

    handle = await queue.dispatch(Doomed())
    draining = asyncio.create_task(drain(queue))
    while not seen:
        await asyncio.sleep(0)
    assert await handle.cancel() is True
    drained = await draining
    assert drained.cancelled == 1
    drained.attempts[0].assert_cancelled()
    assert (await handle.status()).state == "cancelled"
    assert seen == ["runs"]


async def test_jobs_of_dead_workers_come_back(queue: Queue, clock: Clock) -> None:
    await queue.dispatch(Drop("a"))
    claimed = await queue.driver.claim([Source("drops")], 1, 30, "a worker that dies")
    assert len(claimed.claims) == 1
    assert (await drain(queue)).attempts == []
    clock.advance(30)
    assert (await drain(queue)).completed == 1
    assert seen == [("a", 2)]


async def test_a_job_that_lost_its_claim_changes_nothing(queue: Queue) -> None:
    class Thief(Job, name="drain_thief"):
        async def handle(self, ctx: Context) -> None:
            clock: Any = queue.driver.clock
            clock.advance(31)
            await queue.driver.sweep()
            await queue.driver.claim([Source("default")], 1, 30, "another worker")

    handle = await queue.dispatch(Thief(), timeout=1000)
    drained = await drain(queue)
    assert [attempt.ending for attempt in drained.attempts] == ["lost"]
    assert (await handle.status()).state == "processing"


async def test_timeouts_plain_handlers_services_and_middleware() -> None:
    names: list[str] = []

    async def note(ctx: Context, call_next: Any) -> Any:
        names.append(ctx.job_name)
        return await call_next()

    queue = Queue("memory://", services=[Mailer("post")], middleware=[note])
    for job in (DropPlain(4), DropHang(), DropServed()):
        await queue.dispatch(job)
    drained = await drain(queue, middleware=[note])
    assert [attempt.result for attempt in drained.attempts] == [8, None, "post post"]
    assert isinstance(drained.errors[0], JobTimeout)
    assert names == [name for name in ("DropPlain", "DropHang", "DropServed") for _ in range(2)]


async def test_a_handler_that_ignores_its_timeout_is_left_behind(
    queue: Queue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    class Stubborn(Job, name="drain_stubborn", timeout=1):
        async def handle(self, ctx: Context) -> None:
            clock.advance(1)
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    clock.advance(5)

    await queue.dispatch(Stubborn())
    drained = await drain(queue)
    assert [attempt.ending for attempt in drained.attempts] == ["lost"]
    assert "leaks" in caplog.text
    release.set()


async def test_completion_within_its_own_transaction_counts(tmp_path: Path) -> None:
    class Exact(Job, name="drain_exact"):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction():
                pass

    async with Queue(f"sqlite:///{tmp_path}/queue.db") as queue:
        handle = await queue.dispatch(Exact())
        assert (await drain(queue)).completed == 1
        assert (await handle.status()).state == "completed"


async def test_it_runs_in_the_callers_loop_but_not_in_its_context(queue: Queue) -> None:
    loops: list[Any] = []

    class Where(Job, name="drain_where"):
        async def handle(self, ctx: Context) -> None:
            loops.append(asyncio.get_running_loop())

    variable.set("mine")
    await queue.dispatch(Drop("a"))
    await queue.dispatch(Where())
    await drain(queue)
    assert variable.get() == "mine"
    assert loops == [asyncio.get_running_loop()]


async def test_events_were_heard_when_it_returns(queue: Queue) -> None:
    heard: list[str] = []

    async def listen(event: JobProcessed) -> None:
        await asyncio.sleep(0)
        heard.append(event.name)

    queue.on(JobProcessed, listen)
    await queue.dispatch(Drop("a"))
    await drain(queue)
    assert heard == ["Drop"]


async def test_it_waits_for_nothing(queue: Queue) -> None:
    for n in range(100):
        await queue.dispatch(Drop(str(n)))
    started = time.perf_counter()
    assert (await drain(queue)).completed == 100
    assert time.perf_counter() - started < 5


# pop


@pytest.mark.case("TST-01", "TST-02")
@pytest.mark.parametrize("known", [True, False])
async def test_push_size_pop_and_run_by_hand(known: bool) -> None:
    with as_default(Queue("memory://")):
        await dispatch(Drop("a"), queue="default")
        assert await default_queue().size("default") == 1
        popped = await pop(default_queue(), "default" if known else None)
        assert popped is not None
        assert (popped.job, popped.attempt, popped.queue) == (Drop("a"), 1, "default")
        attempt = await popped.run()
        attempt.assert_completed("A")
        assert await default_queue().size("default") == 0
        assert await pop(default_queue()) is None


async def test_a_popped_job_is_run_once(queue: Queue) -> None:
    await queue.dispatch(Drop("raise"))
    popped = await pop(queue, "drops")
    assert popped is not None
    (await popped.run()).assert_retried(ValueError, delay=10)
    assert (await popped.run()).ending == "lost"


async def test_a_popped_job_that_nobody_knows(queue: Queue) -> None:
    await queue.dispatch(Drop("a"))
    popped = await pop(Queue(queue.driver, registry=type(queue.registry)()), "drops")
    assert popped is not None
    with pytest.raises(UnknownJob):
        _ = popped.job
    (await popped.run()).assert_failed(UnknownJob, match="Drop")


# run_job


@pytest.mark.case("TST-08")
async def test_a_job_alone_completes() -> None:
    ran = await run_job(Drop("a"))
    ran.assert_completed()
    ran.assert_completed("A")
    assert (ran.name, ran.queue, ran.number, ran.result) == ("Drop", "drops", 1, "A")
    ran.dispatched.assert_nothing_pushed()


@pytest.mark.case("TST-08")
async def test_a_job_alone_is_released() -> None:
    ran = await run_job(Drop("snooze"))
    ran.assert_released()
    ran.assert_released(delay=7)
    (await run_job(Drop("retry"))).assert_released(5)


@pytest.mark.case("TST-08")
async def test_a_job_alone_fails() -> None:
    ran = await run_job(Drop("fail"))
    ran.assert_failed()
    ran.assert_failed(Fail, match="no use")
    assert seen == [("fail", 1), ("failed", "no use")]


async def test_a_job_alone_is_retried_until_its_attempts_are_used_up() -> None:
    (await run_job(Drop("raise"))).assert_retried(ValueError, delay=10)
    ran = await run_job(Drop("raise"), attempt=2)
    ran.assert_failed(ValueError, match="boo")
    assert ran.number == 2
    (await run_job(Drop("a"), attempt=3)).assert_failed(match="used up")


@pytest.mark.case("TST-08")
async def test_what_a_job_alone_dispatches_is_recorded() -> None:
    ran = await run_job(Drop("more"))
    ran.dispatched.assert_pushed(Drop, where=lambda job: job.what == "one more", on="another")
    assert len(ran.dispatched.pushed()) == 1
    mine = FakeQueue()
    await mine.dispatch(Drop("before"))
    ran = await run_job(Drop("more"), dispatched=mine)
    assert ran.dispatched is mine
    assert [one.job.what for one in mine.pushed(Drop)] == ["before", "one more"]


async def test_a_job_alone_has_services_middleware_and_timeout() -> None:
    async def louder(ctx: Context, call_next: Any) -> Any:
        return f"{await call_next()}!"

    ran = await run_job(DropServed(), services=[Mailer("post")], middleware=[louder])
    ran.assert_completed("post post!")
    (await run_job(DropHang())).assert_failed(JobTimeout)
    (await run_job(DropPlain(4))).assert_completed(8)


async def test_a_job_alone_ignores_its_delay_and_uniqueness() -> None:
    class Later(Job, name="alone_later", delay=3600, unique=True, queue=lambda job: "late:high"):
        async def handle(self, ctx: Context) -> str:
            return ctx.queue

    for _ in range(2):
        (await run_job(Later())).assert_completed("late")


async def test_a_job_alone_sees_a_clock_moved_by_hand() -> None:
    clock = Clock()

    class Slow(Job, name="alone_slow", timeout=10, backoff=fixed(3)):
        async def handle(self, ctx: Context) -> None:
            clock.advance(10)
            await asyncio.sleep(60)

    ran = await run_job(Slow(), dispatched=FakeQueue(clock=clock))
    ran.assert_retried(JobTimeout, delay=3)


@pytest.mark.parametrize("attempt", [0, -1, True, "1"])
async def test_attempts_count_from_one(attempt: Any) -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        await run_job(Drop("a"), attempt=attempt)
    with pytest.raises(TypeError, match="takes a job"):
        await run_job(None)  # type: ignore[arg-type]


async def test_assertions_on_an_attempt_say_what_happened() -> None:
    ran = await run_job(Drop("raise"))
    for check, told in (
        (ran.assert_completed, "should have completed, but it was retried, to run again in 10 s"),
        (ran.assert_failed, "should have failed, but it was retried"),
        (ran.assert_released, "should have been released, but it was retried"),
        (ran.assert_cancelled, "should have been cancelled, but it was retried"),
        (lambda: ran.assert_retried(KeyError), "should have raised KeyError"),
        (lambda: ran.assert_retried(delay=3), "should run again in 3 s, but it was retried"),
    ):
        with pytest.raises(AssertionError, match=told) as failure:
            check()
        assert str(failure.value).startswith("Drop (attempt 1) ")
        assert "boo" in str(failure.value)
    with pytest.raises(AssertionError, match="with 'B', got 'A'"):
        (await run_job(Drop("a"))).assert_completed("B")
    with pytest.raises(AssertionError, match="matches 'luck'"):
        (await run_job(Drop("fail"))).assert_failed(match="luck")


async def test_the_log_is_that_of_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    await run_job(Drop("fail"))
    (record,) = [found for found in caplog.records if found.levelno >= logging.WARNING]
    assert record.name == "asyncqueue.worker"
    assert "failed for good" in record.getMessage()
