"""The sync driver runs a job in its dispatch, as a worker would, once."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    ConfigError,
    Context,
    Job,
    JobTimeout,
    Queue,
    QueueClosed,
    State,
    UnknownJob,
    default_queue,
    dispatch,
    dispatch_many,
    dispatch_named,
    set_default,
)
from asyncqueue.drivers.sync import SyncDriver

from ..recorder import Recorder


class Database:
    entered = 0

    async def __aenter__(self):
        type(self).entered += 1
        return self

    async def __aexit__(self, *exc_info):
        type(self).entered -= 1


class Echo(Job, name="SyncEcho"):
    value: int

    async def handle(self, ctx: Context) -> int:
        if self.value < 0:
            raise ValueError(self.value)
        return self.value


@pytest.fixture
async def queue():
    async with Queue("sync://") as queue:
        yield queue


@pytest.mark.case("CFG-06", "DRV-27", "DRV-29", "TST-06", on="sync")
@pytest.mark.parametrize("delay", [0, 3600])
async def test_a_job_has_run_when_its_dispatch_returns(queue, delay):
    events = Recorder(queue)
    handle = await queue.dispatch(Echo(5), delay=delay)
    assert await handle.result() == 5
    assert (await handle.status()).state is State.COMPLETED
    assert await queue.size("default") == 0
    names = events.of_jobs()
    assert names[-1] == "JobProcessed" or names[-2:] == ["JobProcessed", "JobQueued"]
    assert names.count("JobProcessing") == 1


@pytest.mark.case("DRV-28", "FLD-20", "TST-06", on="sync")
async def test_errors_reach_the_caller_after_the_hook_and_nothing_is_kept(queue):
    hooked = []

    class Breaks(Job, max_attempts=5):
        async def handle(self, ctx: Context) -> None:
            raise KeyError(ctx.attempt)

        async def failed(self, ctx: Context, error: BaseException) -> None:
            hooked.append(error)

    with pytest.raises(KeyError) as raised:
        await queue.dispatch(Breaks())
    assert hooked == [raised.value]
    assert (await queue.failed.list()).total == 0
    with pytest.raises(UnknownJob):
        await queue.dispatch_named("Unheard", {})


@pytest.mark.case("MID-13", on="sync")
async def test_middleware_services_and_plain_jobs_work_as_in_a_worker():
    notes = []

    async def noting(ctx, call_next):
        notes.append(ctx.job_name)
        return await call_next()

    class Plain(Job, middleware=[noting]):
        def handle(self, ctx: Context, db: Database) -> int:
            return Database.entered

    async with Queue("sync://", services=[Database()], middleware=[noting]) as queue:
        handles = await queue.dispatch_many([Plain(), Plain()])
        assert [await handle.result() for handle in handles] == [1, 1]
    assert Database.entered == 0
    assert notes == ["Plain"] * 4


async def test_a_job_may_dispatch_another(queue):
    order = []

    class Outer(Job):
        async def handle(self, ctx: Context) -> int:
            order.append("outer")
            inner = await ctx.dispatch(Echo(3))
            order.append("after")
            return await inner.result()

    assert await (await queue.dispatch(Outer())).result() == 3
    assert order == ["outer", "after"]

    class Fails(Job):
        async def handle(self, ctx: Context) -> None:
            await ctx.dispatch(Echo(-3))

    with pytest.raises(ValueError, match="-3"):
        await queue.dispatch(Fails())


async def test_a_cancelled_caller_cancels_the_job(queue):
    started = asyncio.Event()
    ended = []

    class Waits(Job):
        async def handle(self, ctx: Context) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

    dispatching = asyncio.create_task(queue.dispatch(Waits()))
    await started.wait()
    dispatching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dispatching
    assert ended
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await queue.dispatch(Waits())


async def test_a_timeout_reaches_the_caller(queue):
    class Waits(Job, timeout=0.02):
        async def handle(self, ctx: Context) -> None:
            await asyncio.Event().wait()

    with pytest.raises(JobTimeout):
        await queue.dispatch(Waits())


async def test_after_its_end_it_refuses(queue):
    await queue.close()
    with pytest.raises(QueueClosed):
        await queue.dispatch(Echo(1))


# The default queue


async def test_the_default_queue_is_used_by_the_module_level_calls(queue):
    former = set_default(queue)
    try:
        assert default_queue() is queue
        assert await (await dispatch(Echo(1))).result() == 1
        assert [await h.result() for h in await dispatch_many([Echo(2), Echo(3)])] == [2, 3]
        assert await (await dispatch_named("SyncEcho", {"value": 4})).result() == 4
    finally:
        set_default(former)


@pytest.mark.case("CFG-04", "DEP-01")
async def test_the_default_queue_is_built_from_the_environment_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUEUE_URL", "sync://")
    former = set_default(None)
    try:
        assert default_queue() is default_queue()
        assert default_queue().driver.name == "sync"
        await default_queue().close()
    finally:
        set_default(former)


async def test_a_sync_driver_serves_one_queue_at_a_time():
    """Else it would run the jobs of one with the registry of the other."""
    driver = SyncDriver()
    first = Queue(driver)
    with pytest.raises(ConfigError, match="SyncDriver of its own"):
        Queue(driver)
    await first.close()
    await Queue(driver).close()
