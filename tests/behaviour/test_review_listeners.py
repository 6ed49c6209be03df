"""What listeners can do to the jobs and to each other: nothing."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    Context,
    Job,
    JobFailed,
    JobProcessed,
    JobProcessing,
    JobQueued,
    State,
    Trace,
    current_trace,
    listeners,
    use_trace,
)

from ..recorder import PATIENCE, until


def quick():
    class Quick(Job, max_attempts=1, replace=True):
        fails: bool = False

        async def handle(self, ctx: Context) -> None:
            if self.fails:
                raise ValueError("broken")

    return Quick


async def ended(handle):
    while (await handle.status()).state not in (State.COMPLETED, State.FAILED):
        await asyncio.sleep(0)


@pytest.mark.parametrize("event_type", [JobProcessing, JobProcessed, JobFailed])
@pytest.mark.parametrize("raised", [asyncio.CancelledError, SystemExit])
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_not_even_a_cancellation_or_an_exit_of_a_listener_reaches_the_worker(
    queue, make_worker, caplog, event_type, raised, kind
):
    heard = []

    def plain(event):
        heard.append(event.job_id)
        raise raised

    async def asynchronous(event):
        plain(event)

    queue.on(event_type, plain if kind == "plain" else asynchronous)
    job = quick()
    handles = await queue.dispatch_many([job(fails=n % 2 == 1) for n in range(4)])
    async with make_worker(concurrency=1):
        async with asyncio.timeout(PATIENCE):
            for handle in handles:
                await ended(handle)
        await until(lambda: len(heard) == (4 if event_type is JobProcessing else 2))
    assert f"A listener raised on {event_type.__name__}" in caplog.text


async def test_a_worker_ends_when_its_own_events_were_heard(queue, make_worker):
    """A busy second worker keeps a slow listener busy for ever: the first one ends all the same."""
    job = quick()

    async def slow(event):
        await queue.dispatch(job(), queue="theirs")

    queue.on(JobProcessed, slow)
    theirs = make_worker("theirs")
    mine = make_worker("mine")
    async with theirs:
        await mine.start()
        await queue.dispatch_many([job() for _ in range(20)], queue="theirs")
        async with asyncio.timeout(PATIENCE):
            await mine.stop()
        assert theirs.running


async def test_a_listener_hears_with_the_variables_of_its_registration(queue, make_worker):
    """The trace of whoever sent the first event is nothing to the second one."""
    traces, proceed = [], asyncio.Event()

    async def listener(event):
        await proceed.wait()
        traces.append(current_trace())

    queue.on(JobQueued, listener)
    with use_trace(Trace("1" * 32, "2" * 16)):
        await queue.dispatch(quick()())
    await queue.dispatch(quick()())
    proceed.set()
    await until(lambda: len(traces) == 2)
    assert traces == [None, None]


async def test_the_backlog_of_a_slow_listener_is_bounded(queue, events, caplog, monkeypatch):
    """The newest are dropped, for this listener only, and one line in so many says so."""
    monkeypatch.setattr(listeners, "MOST_UNHEARD", 3)
    monkeypatch.setattr(listeners, "SAID_EVERY", 2)
    begun, proceed, heard = asyncio.Event(), asyncio.Event(), []

    async def slow(event):
        begun.set()
        await proceed.wait()
        heard.append(event.job_id)

    queue.on(JobQueued, slow)
    job = quick()
    first = await queue.dispatch(job())
    await begun.wait()
    handles = [first, *await queue.dispatch_many([job() for _ in range(6)])]
    assert len(events.of(JobQueued)) == 7
    assert caplog.text.count("slow on JobQueued is too slow: 3 events wait") == 2
    assert "so a JobQueued is dropped (2 dropped before)" in caplog.text
    proceed.set()
    await until(lambda: "heard all that waited; it missed 3 events" in caplog.text)
    assert heard == [handle.id for handle in handles[:4]]
    last = await queue.dispatch(job())
    await until(lambda: last.id in heard)
