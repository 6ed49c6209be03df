"""One attempt: it never raises, and the first cause of its interruption counts."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import msgspec
import pytest

from asyncqueue import Context, Job, JobTimeout, Retry, exponential
from asyncqueue.codec import Envelope
from asyncqueue.execution.outcome import (
    Cancelled,
    Completed,
    Errored,
    Ignored,
    Interrupted,
    Released,
)
from asyncqueue.execution.plan import Defaults, Plan
from asyncqueue.execution.run import Run
from asyncqueue.record import Claim
from asyncqueue.services import Services
from asyncqueue.testing import Clock


class Runs(Job, name="RunUnderTest"):
    async def handle(self, ctx: Context) -> object:
        return await handling(ctx)

    def should_retry(self, error: BaseException) -> bool:
        return True


async def handling(ctx):
    raise NotImplementedError


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stopping():
    return []


@pytest.fixture
def make_run(clock, monkeypatch, stopping):
    def make(do):
        monkeypatch.setitem(globals(), "handling", do)
        runner = SimpleNamespace(
            clock=clock,
            trace=None,
            drain=5.0,
            log=logging.getLogger("tests.run"),
            stopping=lambda: bool(stopping),
        )
        defaults = Defaults(timeout=30, max_attempts=3, backoff=exponential(), retention=60)
        plan = Plan(Runs, defaults, Services(), (), None)
        claim = Claim("id", 1, "queue", "RunUnderTest", b"", 1, 1, 0, None, clock.time())
        return Run(runner, claim, Runs(), plan, Envelope(1, msgspec.Raw(b"\x80")))

    return make


async def waits(ctx):
    await asyncio.Event().wait()


async def swallows(ctx):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "swallowed"


async def raises(ctx):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ValueError("unwinding") from None


async def begin(run):
    """Execute it up to its first wait."""
    run.task = asyncio.ensure_future(run.execute())
    await asyncio.sleep(0)
    return run.task


TABLE = [
    ("shutdown", waits, Interrupted),
    ("shutdown", swallows, Completed),
    ("shutdown", raises, Interrupted),
    ("timeout", waits, Errored),
    ("timeout", swallows, Errored),
    ("timeout", raises, Errored),
    ("cancelled", waits, Cancelled),
    ("cancelled", swallows, Cancelled),
    ("cancelled", raises, Cancelled),
    ("lease_lost", waits, Ignored),
    ("lease_lost", swallows, Ignored),
    ("lease_lost", raises, Ignored),
]


@pytest.mark.parametrize(("cause", "do", "expected"), TABLE)
async def test_what_an_interruption_makes_of_a_run(make_run, clock, cause, do, expected):
    run = make_run(do)
    task = await begin(run)
    run.interrupt(cause, 5.0)
    outcome = await task
    assert type(outcome) is expected
    assert run.cancelled.cause == cause
    assert clock.pending == 0
    if cause == "timeout":
        assert isinstance(outcome.error, JobTimeout)
    if cause == "shutdown" and do is raises:
        assert str(outcome.error) == "unwinding"


@pytest.mark.parametrize("first", ["shutdown", "timeout", "cancelled"])
@pytest.mark.parametrize("second", ["shutdown", "timeout", "cancelled"])
async def test_the_first_cause_counts(make_run, first, second):
    run = make_run(waits)
    task = await begin(run)
    run.interrupt(first, 5.0)
    run.interrupt(second, 5.0)
    expected = {"shutdown": Interrupted, "timeout": Errored, "cancelled": Cancelled}
    assert type(await task) is expected[first]
    assert run.cancelled.cause == first


@pytest.mark.parametrize("first", ["shutdown", "timeout", "cancelled"])
async def test_a_lost_lease_outranks_every_other_cause(make_run, first):
    run = make_run(waits)
    task = await begin(run)
    run.interrupt(first, 5.0)
    run.interrupt("lease_lost", 5.0)
    assert type(await task) is Ignored


async def test_a_run_that_was_interrupted_before_it_began_does_not_begin(make_run):
    begun = []

    async def notes(ctx):
        begun.append(ctx)

    run = make_run(notes)
    run.interrupt("shutdown", 5.0)
    assert type(await run.execute()) is Interrupted
    assert begun == []


async def test_an_interruption_that_is_told_again_leaves_the_unwinding_alone(make_run, clock):
    """An operator's cancellation is told four times a second until the run has ended."""
    unwound = []

    async def unwinds(ctx):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            unwound.append(True)

    run = make_run(unwinds)
    task = await begin(run)
    run.interrupt("cancelled", 5.0)
    await asyncio.sleep(0)
    clock.advance(3)
    run.interrupt("cancelled", 5.0)
    assert type(await task) is Cancelled
    assert unwound == [True]
    assert clock.pending == 0


async def test_a_lease_that_its_own_transaction_ended_was_not_lost(make_run):
    run = make_run(waits)
    task = await begin(run)
    run.settled = True
    run.interrupt("lease_lost", 5.0)
    await asyncio.sleep(0)
    assert not task.done()
    assert (run.lost, run.cancelled.cause) == (False, None)
    run.interrupt("shutdown", 5.0)
    assert type(await task) is Ignored


async def test_a_result_that_nobody_keeps_need_not_be_storable(make_run):
    async def answers(ctx):
        return object()

    run = make_run(answers)
    assert type(await run.execute()) is Errored
    run = make_run(answers)
    run.plan.retention = 0
    assert await run.execute() == Completed()


async def test_an_interruption_after_the_end_changes_nothing(make_run, clock):
    async def at_once(ctx):
        return None

    run = make_run(at_once)
    assert type(await (await begin(run))) is Completed
    run.interrupt("timeout", 5.0)
    run.abandon()
    assert run.cancelled.cause is None
    assert not run.abandoned
    assert clock.pending == 0


async def test_the_cancellation_does_not_stay_with_the_asyncio_task(make_run):
    run = make_run(waits)
    left = []

    async def around():
        run.task = asyncio.current_task()
        outcome = await run.execute()
        left.append(asyncio.current_task().cancelling())
        await asyncio.sleep(0)
        return outcome

    task = asyncio.ensure_future(around())
    await asyncio.sleep(0)
    run.interrupt("timeout", 5.0)
    assert type(await task) is Errored
    assert left == [0]


async def test_a_deaf_run_is_given_up_after_its_drain(make_run, clock, caplog):
    proceed, freed = asyncio.Event(), []

    async def deaf(ctx):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await proceed.wait()

    run = make_run(deaf)
    run.on_abandoned = freed.append
    task = await begin(run)
    run.interrupt("timeout", 5.0)
    await asyncio.sleep(0)
    clock.advance(4.9)
    assert not run.abandoned
    clock.advance(0.1)
    assert run.abandoned
    assert freed == [run]
    assert "RunUnderTest id ignores its cancellation (timeout)" in caplog.text
    assert f"{__file__}:" in caplog.text or "locks.py:" in caplog.text
    proceed.set()
    assert type(await task) is Ignored


def test_a_coroutine_that_is_closed_is_no_failure_of_the_handler(make_run, monkeypatch):
    """So it is with what is left when a loop was closed: its handler is asked nothing."""
    asked = []
    monkeypatch.setattr(Runs, "should_retry", lambda _job, error: asked.append(error))

    async def breaks(ctx):
        raise GeneratorExit

    run = make_run(breaks)
    run.task = object()  # Not the current one.
    with pytest.raises(GeneratorExit):
        run.execute().send(None)
    assert asked == []


def test_an_interrupt_of_the_process_ends_it(make_run):
    async def breaks(ctx):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_run(breaks).execute().send(None)


@pytest.mark.parametrize(("given", "delay"), [(None, 1), (0, 0), (7, 7)])
async def test_a_retry_waits_as_it_says_or_as_the_backoff_does(make_run, given, delay):
    async def asks(ctx):
        raise Retry(given)

    outcome = await make_run(asks).execute()
    assert isinstance(outcome, Released)
    assert (outcome.delay, outcome.counts) == (delay, True)


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), asyncio.CancelledError()], ids=repr)
async def test_a_foreign_error_is_a_failure_unless_the_worker_stops(make_run, stopping, error):
    async def breaks(ctx):
        raise error

    assert type(await make_run(breaks).execute()) is Errored
    stopping.append(True)
    assert type(await make_run(breaks).execute()) is Interrupted
