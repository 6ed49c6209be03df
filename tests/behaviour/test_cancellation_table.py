"""The table of the documentation that says how handlers and cancellations are classified."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import JobFailed, JobProcessed, JobRetrying, JobTimeout, State
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.events import JobCancelled

from ..docs.pages import table
from ..recorder import PATIENCE, until
from .stopping import Stage, define

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.testing import Clock

    Interruption = Callable[[], Awaitable[None]]

TIMEOUT = 10
ENDS = (JobProcessed, JobRetrying, JobCancelled)


@pytest.fixture
def driver(clock: Clock) -> MemoryDriver:
    """What is classified never reaches a store, so one is enough."""
    return MemoryDriver(clock=clock)


# What handlers do. An interruption raises the cancellation of the handler: the one of the column,
# or one that it asks for itself where it is left alone.


async def raises(interruption: Interruption) -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        await interruption()
    raise asyncio.CancelledError("mine")


async def returns(interruption: Interruption) -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        await interruption()
    return "rescued"


async def uncancels(interruption: Interruption) -> Any:
    try:
        await interruption()
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    await asyncio.sleep(0)
    return "rescued"


async def has_a_group(interruption: Interruption) -> Any:
    async def fails() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await interruption()
        raise ZeroDivisionError

    async with asyncio.TaskGroup() as group:
        group.create_task(fails())
        group.create_task(asyncio.Event().wait())


async def raises_a_group(interruption: Interruption) -> Any:
    try:
        await interruption()
    except asyncio.CancelledError as cancelled:
        raise BaseExceptionGroup("all of it", [ZeroDivisionError(), cancelled]) from None


async def inner_expires(interruption: Interruption) -> Any:
    async with asyncio.timeout(60):
        with contextlib.suppress(asyncio.CancelledError):
            await interruption()
        async with asyncio.timeout(0):
            await asyncio.Event().wait()


async def outer_expires(interruption: Interruption) -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        await interruption()
    async with asyncio.timeout(0), asyncio.timeout(60):
        await asyncio.Event().wait()


async def cancelled_by_a_child(interruption: Interruption) -> Any:
    parent = asyncio.current_task()

    async def child() -> None:
        parent.cancel()

    with contextlib.suppress(asyncio.CancelledError):
        await interruption()
    started = asyncio.create_task(child())
    await asyncio.gather(started, asyncio.Event().wait())


async def awaits_a_cancelled_future(interruption: Interruption) -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        await interruption()
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


HANDLERS = {
    "raises `CancelledError` itself": raises,
    "catches the cancellation and returns": returns,
    "catches it, calls `uncancel()` and returns": uncancels,
    "has a `TaskGroup` in which one fails": has_a_group,
    "raises an `ExceptionGroup` with a cancellation in it": raises_a_group,
    "is in the inner of two `asyncio.timeout`, which expires": inner_expires,
    "is in the inner of two `asyncio.timeout`, the outer expires": outer_expires,
    "is cancelled by a child that it started": cancelled_by_a_child,
    "awaits a future that somebody cancelled": awaits_a_cancelled_future,
}
COLUMNS = ("left alone", "timeout", "stop", "cancel")
ROWS = table("explanation/guarantees.md", "What handlers do with cancellations")


async def cancels_itself() -> None:
    asyncio.current_task().cancel()
    await asyncio.Event().wait()


async def how_it_ended(handle, events, stage) -> str:
    """What the store and the events show of the one attempt, in the words of the table."""
    info, retrying = await handle.status(), events.of(JobRetrying, handle.id)
    told = [len(events.of(kind, handle.id)) for kind in (*ENDS, JobFailed)]
    assert not stage.hooked
    if told == [1, 0, 0, 0]:
        assert (info.state, info.attempts) == (State.COMPLETED, 1)
        return "completed"
    if told == [0, 1, 0, 0]:
        assert (info.state, info.attempts) == (State.DELAYED, 1)
        return "timed out" if isinstance(retrying[0].error, JobTimeout) else "failed attempt"
    if told == [0, 0, 1, 0]:
        assert info.state == State.CANCELLED
        return "cancelled"
    assert told == [0, 0, 0, 0]
    assert (info.state, info.attempts) == (State.PENDING, 0)
    return "goes back"


def test_the_table_has_a_row_for_each_of_these():
    assert [row[0] for row in ROWS] == list(HANDLERS)


@pytest.mark.case("TMO-10", "TMO-12")
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
async def test_a_cell(queue, make_worker, clock, events, row, column):
    stage = Stage()
    interruption = cancels_itself if column == "left alone" else stage.wait

    async def handling(_: Stage) -> Any:
        return await HANDLERS[row[0]](interruption)

    handle = await queue.dispatch(define(handling, stage)())
    async with make_worker(timeout=TIMEOUT, backoff=1000, concurrency=1) as worker:
        async with asyncio.timeout(PATIENCE):
            await stage.started.wait()
        if column == "timeout":
            await asyncio.sleep(0)
            clock.advance(TIMEOUT)
        elif column == "cancel":
            assert await handle.cancel()
        elif column == "stop":
            await worker.stop()
        if column != "stop":
            await until(lambda: any(events.of(kind, handle.id) for kind in ENDS))
            assert worker.running
            after = await queue.dispatch(define(lambda _: asyncio.sleep(0, 1), stage)())
            assert await after.result(PATIENCE) == 1
    assert await how_it_ended(handle, events, stage) == row[1 + COLUMNS.index(column)]
