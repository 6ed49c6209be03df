"""The wall clock is set while jobs run: nothing but instants may notice."""

from __future__ import annotations

import asyncio

from asyncqueue import Context, Job, Queue, Registry, Worker
from asyncqueue.clock import SystemClock


class Steppable(SystemClock):
    """The machine's clock, and somebody who sets it."""

    step = 0.0

    def time(self) -> float:
        return super().time() + self.step


async def test_a_job_does_not_time_out_because_the_clock_was_set_forward():
    """Only time that passed counts."""
    clock, started, go_on = Steppable(), asyncio.Event(), asyncio.Event()

    class Waits(Job, timeout=20, max_attempts=1, replace=True):
        async def handle(self, ctx: Context) -> float:
            started.set()
            await go_on.wait()
            return ctx.remaining

    registry = Registry()
    registry.register(Waits)
    async with (
        Queue("memory://", clock=clock, registry=registry) as queue,
        Worker(queue, lease=100_000),
    ):
        handle = await queue.dispatch(Waits())
        await started.wait()
        clock.step = 3600.0
        # Two rounds of the deadlines have looked at it by then.
        await asyncio.sleep(0.25)
        go_on.set()
        assert 10 < await handle.result(timeout=5) <= 20
