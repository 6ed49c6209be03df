"""Why a job is not running, what runs where, and what became of each attempt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Context, Job, JobNotFound, JobProcessed, JobRetrying, Limit, State
from asyncqueue.record import On, Presence, Record, Source

from ..recorder import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue import Queue, Worker
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing import Clock

    from ..recorder import Recorder

gates: list[asyncio.Event] = []
entered: list[str] = []


@pytest.fixture(autouse=True)
def gate() -> asyncio.Event:
    entered.clear()
    gates[:] = [asyncio.Event()]
    return gates[0]


class Explained(Job):
    async def handle(self, ctx: Context) -> str:
        entered.append(ctx.job_id)
        await gates[0].wait()
        return "done"


class ExplainedFailure(Job, backoff=30, max_attempts=2):
    async def handle(self, ctx: Context) -> None:
        raise ValueError(f"broken in attempt {ctx.attempt}")


class ExplainedLimits(Job, limit=Limit("stripe", concurrency=1)):
    async def handle(self, ctx: Context) -> None:
        await gates[0].wait()


@pytest.fixture
def announce(driver: Driver, clock: Clock) -> Callable[..., Any]:
    """Let a worker be seen that does nothing."""

    async def announced(queues: list[str], kinds: list[str]) -> None:
        await driver.announce(
            Presence("w", "host", 1, queues, 3, started_at=clock.time(), kinds=kinds), 1e6
        )

    return announced


async def reason(queue: Queue, id: str) -> str:
    told = await queue.explain(id)
    assert id in told.text
    return told.reason


@pytest.mark.case("MON-06", "MON-08")
async def test_what_a_waiting_job_waits_for(
    queue: Queue, driver: Driver, clock: Clock, announce: Callable[..., Any]
) -> None:
    with pytest.raises(JobNotFound):
        await queue.explain("unknown")
    first = await queue.dispatch(Explained(), queue="q")
    later = await queue.dispatch(Explained(), queue="q", delay=60)
    told = await queue.explain(first.id)
    assert (told.reason, told.evidence["queue"]) == ("unserved", "q")
    assert "none is alive" in told.text
    await announce(["other", "q:high"], ["Explained"])
    assert "they serve other, q:high" in (await queue.explain(first.id)).text
    await announce(["q"], ["Another"])
    assert await reason(queue, first.id) == "unknown"
    await announce(["q"], ["Explained"])
    assert await reason(queue, first.id) == "next"
    told = await queue.explain(later.id)
    assert told.reason == "delayed"
    assert "in 60 s" in told.text
    await queue.pause("q")
    assert await reason(queue, first.id) == "paused"
    await queue.resume("q")
    if not driver.has_latches:
        return
    second = await queue.dispatch(Explained(), queue="q")
    told = await queue.explain(second.id)
    assert (told.reason, told.evidence["ahead"]) == ("behind", 1)


@pytest.mark.case("MON-06", "MON-13")
async def test_where_a_running_job_is_and_who_lost_it(
    queue: Queue, driver: Driver, make_worker: Callable[..., Worker], events: Recorder, clock: Clock
) -> None:
    job = await queue.dispatch(Explained())
    async with make_worker() as worker:
        await until(lambda: entered)
        clock.advance(11)  # Workers tell it three times a lease.
        await until_async(queue.running, lambda jobs: jobs[0].place)
        (running,) = await queue.running()
        assert (running.id, running.name, running.worker) == (job.id, "Explained", worker.id)
        assert "test_explaining.py" in running.place
        assert "in handle" in running.place
        told = await queue.explain(job.id)
        assert told.reason == "running"
        assert running.place.partition(":")[0] in told.text
        gates[0].set()
        await events.wait_for(JobProcessed)
    assert await queue.running() == []
    assert await reason(queue, job.id) == "finished"
    lost = await queue.dispatch(Explained())
    await driver.claim([Source("default")], 1, 30, "a worker that died")
    assert await reason(queue, lost.id) == "orphaned"


@pytest.mark.case("MON-13")
async def test_a_job_whose_lease_ran_out_is_told_though_its_worker_lives(
    queue: Queue, driver: Driver, announce: Callable[..., Any], clock: Clock
) -> None:
    """It may be that nobody sweeps, or has swept yet."""
    job = await queue.dispatch(Explained())
    await announce(["default"], ["Explained"])
    await driver.claim([Source("default")], 1, 30, "w")
    assert await reason(queue, job.id) == "running"
    clock.advance(31)
    told = await queue.explain(job.id)
    assert told.reason == "orphaned"
    assert "its lease has run out" in told.text


async def until_async(ask: Callable[[], Any], good: Callable[[Any], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not good(await ask()):
            await asyncio.sleep(0.02)


@pytest.mark.case("MON-07")
async def test_every_attempt_is_told(
    queue: Queue, make_worker: Callable[..., Worker], events: Recorder, clock: Clock
) -> None:
    job = await queue.dispatch(ExplainedFailure())
    async with make_worker(lease=1e6) as worker:
        await events.wait_for(JobRetrying)
        told = await queue.explain(job.id)
        assert told.reason == "delayed"
        assert "broken in attempt 1" in told.text
        (first,) = (await job.status()).history
        assert (first.number, first.worker, first.state) == (1, worker.id, "delayed")
        assert first.error == "ValueError: broken in attempt 1"
        assert "raise ValueError" in (first.traceback or "")
        clock.advance(31)
        await until(lambda: len(events.of_jobs()) >= 5)
    info = await job.status()
    assert info.state is State.FAILED
    assert [(one.number, one.error) for one in info.history] == [
        (1, "ValueError: broken in attempt 1"),
        (2, "ValueError: broken in attempt 2"),
    ]
    assert info.history[1].started_at > info.history[0].started_at
    assert "failed for good" in (await queue.explain(job.id)).text
    await queue.failed.retry(job.id)
    assert (await job.status()).history == []


@pytest.mark.case("MON-19")
async def test_which_limit_holds_a_job(
    queue: Queue, make_worker: Callable[..., Worker], events: Recorder
) -> None:
    first, second = await queue.dispatch_many([ExplainedLimits(), ExplainedLimits()])
    async with make_worker(concurrency=5):
        await until_async(queue.running, len)
        await until_async(lambda: queue.explain(second.id), lambda told: told.reason == "limited")
        told = await queue.explain(second.id)
        assert told.evidence["holders"] == [first.id]
        assert "stripe" in told.text
        gates[0].set()
        await events.wait_for(JobProcessed, 2)


async def test_a_limit_that_leaves_room_holds_nobody(
    queue: Queue, driver: Driver, announce: Callable[..., Any]
) -> None:
    class ExplainedPair(Job, limit=Limit("pair", concurrency=2)):
        async def handle(self, ctx: Context) -> None: ...

    handles = await queue.dispatch_many([ExplainedPair() for _ in range(3)])
    await announce(["default"], ["ExplainedPair"])
    for expected in ("behind", "limited"):
        await driver.claim([Source("default")], 1, 30, "w")
        assert await reason(queue, handles[2].id) == expected


@pytest.mark.case("BAT-13")
async def test_what_a_job_of_a_batch_waits_for(queue: Queue, driver: Driver) -> None:
    batch = await queue.batch(Explained()).dispatch()
    held = Record("held", "q", "Explained", b"", latch=batch.id, held=On.SUCCESS)
    await driver.enqueue([held])
    told = await queue.explain("held")
    assert (told.reason, told.evidence) == ("held", {"batch": batch.id, "until": "success"})
    assert "(1 pending)" in told.text
    (member,) = (await queue.jobs(batch=batch.id)).items
    await driver.call_off([batch.id])
    assert await reason(queue, member.id) == "cancelled"
