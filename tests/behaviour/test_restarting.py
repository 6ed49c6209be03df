"""Workers that are asked to end, so that a supervisor starts new ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, DriverError, Job, JobProcessed

from ..recorder import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue import Queue, Worker
    from asyncqueue.testing import Clock

    from ..recorder import Recorder


@pytest.mark.case("WRK-34")
async def test_workers_end_after_their_current_jobs_when_a_restart_is_asked_for(
    queue: Queue, make_worker: Callable[..., Worker], clock: Clock, events: Recorder
):
    started, go_on = [], asyncio.Event()

    class BeforeTheRestart(Job):
        number: int

        async def handle(self, ctx: Context) -> None:
            started.append(self.number)
            await go_on.wait()

    workers = [make_worker(concurrency=1), make_worker(concurrency=1)]
    for worker in workers:
        await worker.start()
    await queue.dispatch_many([BeforeTheRestart(number=number) for number in range(3)])
    await until(lambda: len(started) == 2)
    assert sorted(await queue.restart_workers()) == sorted(worker.id for worker in workers)
    clock.advance(10)  # A third of a lease.
    await until(lambda: all(worker.stop_reason for worker in workers))
    assert all(worker.running for worker in workers)
    go_on.set()
    await until(lambda: not any(worker.running for worker in workers))
    assert [worker.stop_reason for worker in workers] == ["restart", "restart"]
    assert len(events.of(JobProcessed)) == 2
    assert await queue.size("default") == 1

    await workers[0].start()  # What was asked before is not meant again.
    await events.wait_for(JobProcessed, 3)
    clock.advance(10)
    await asyncio.sleep(0.05)
    assert workers[0].running
    await workers[0].stop()


async def test_only_the_named_workers_end(
    queue: Queue, make_worker: Callable[..., Worker], clock: Clock
):
    one, other = make_worker(), make_worker()
    async with one, other:
        assert await queue.restart_workers(one.id, "nobody") == [one.id]
        clock.advance(10)
        await until(lambda: not one.running)
        assert other.running
        assert await queue.restart_workers(one.id) == []


async def test_a_store_that_cannot_pass_it_on_says_so(
    queue: Queue, make_worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(queue.driver), "has_limits", property(lambda _: False))
    async with make_worker():
        with pytest.raises(DriverError, match=r"cannot ask workers to end: .* signal"):
            await queue.restart_workers()
