"""A sync queue may be used for millions of dispatches."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from asyncqueue import (
    Context,
    Job,
    JobFailedError,
    Queue,
    Trace,
    current_trace,
    register,
    use_trace,
)
from asyncqueue.drivers.sync import MOST_KEPT, SyncDriver


async def test_records_past_their_retention_go_though_nobody_looks(clock):
    class Quick(Job, retention=1):
        async def handle(self, ctx: Context) -> None:
            return None

    async with Queue(driver := SyncDriver(clock=clock)) as queue:
        for _ in range(3 * MOST_KEPT):
            await queue.dispatch(Quick())
            clock.advance(0.01)
        assert len(driver._kept) <= MOST_KEPT + 1
        handle = await queue.dispatch(Quick(), id="known")
        assert not handle.duplicate
        assert (await queue.dispatch(Quick(), id="known")).duplicate
        clock.advance(2)
        assert not (await queue.dispatch(Quick(), id="known")).duplicate


@pytest.mark.case("DRV-28", on="sync")
@pytest.mark.parametrize("raised", [asyncio.CancelledError("own"), SystemExit(3)], ids=repr)
async def test_what_a_handler_raises_neither_cancels_nor_ends_its_caller(raised):
    """A CancelledError of the handler's own making is an ordinary failure."""
    hooked = []

    class Breaks(Job):
        async def handle(self, ctx: Context) -> None:
            raise raised

        async def failed(self, ctx: Context, error: BaseException) -> None:
            hooked.append(error)

    async with Queue("sync://") as queue:
        with pytest.raises(JobFailedError, match=type(raised).__name__) as failure:
            await queue.dispatch(Breaks())
    assert failure.value.__cause__ is raised
    assert hooked == [raised]


async def test_a_factory_that_raises_a_cancellation_does_not_cancel_its_caller():
    def factory(payload):
        raise asyncio.CancelledError

    register("Unbuildable", factory)
    async with Queue("sync://") as queue:
        with pytest.raises(JobFailedError, match="CancelledError"):
            await queue.dispatch_named("Unbuildable", {})


async def test_a_caller_that_was_cancelled_before_can_still_tell_a_failure():
    """What it does to clean up is not cancelled again by a handler's own CancelledError."""
    ended = []

    class Breaks(Job):
        async def handle(self, ctx: Context) -> None:
            raise asyncio.CancelledError

    async def cleans_up(queue):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(JobFailedError):
                await queue.dispatch(Breaks())
            ended.append(True)
            raise

    async with Queue("sync://") as queue:
        caller = asyncio.create_task(cleans_up(queue))
        await asyncio.sleep(0)
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
    assert ended


async def test_the_trace_of_a_job_does_not_stay_with_its_caller():
    theirs, mine = Trace("1" * 32, "2" * 16), Trace("3" * 32, "4" * 16)
    seen = []

    class Seeing(Job):
        fails: bool = False

        async def handle(self, ctx: Context) -> None:
            seen.append(current_trace())
            if self.fails:
                raise ValueError("broken")

    with use_trace(mine):
        queue = Queue("sync://")
    async with queue:
        await queue.dispatch(Seeing())
        assert current_trace() is None
        with use_trace(theirs):
            await queue.dispatch(Seeing())
            assert current_trace() == theirs
        with pytest.raises(ValueError, match="broken"):
            await queue.dispatch(Seeing(fails=True))
        assert current_trace() is None
    assert seen == [mine, theirs, mine]


async def test_services_are_not_entered_twice_after_one_of_them_failed():
    log = []

    @contextlib.asynccontextmanager
    async def first():
        log.append("+first")
        yield
        log.append("-first")

    @contextlib.asynccontextmanager
    async def second():
        if log.count("+first") == 1:
            raise ConnectionError("not yet")
        log.append("+second")
        yield
        log.append("-second")

    class Quick(Job):
        async def handle(self, ctx: Context) -> None: ...

    async with Queue("sync://", services=[first, second]) as queue:
        with pytest.raises(ConnectionError):
            await queue.dispatch(Quick())
        assert log == ["+first", "-first"]
        await queue.dispatch(Quick())
    assert log == ["+first", "-first", "+first", "+second", "-second", "-first"]
