"""Jobs of every manner, good and bad, and what must have become of each in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from asyncqueue import Context, Fail, Job, Limit, Retry, Snooze, fixed
from asyncqueue.testing.lab.loop import PROCESS

if TYPE_CHECKING:
    from asyncqueue.testing import LabRun

MANY = 50
"""Attempts of jobs that have to survive all crashes."""


class World:
    """Everything the bodies of jobs did, whoever ran them."""

    def __init__(self, run: LabRun) -> None:
        self.run = run
        self.finished: Counter[str] = Counter()
        self.most_at_once = 0
        self._inside: list[object] = []

    def enter(self) -> None:
        """A body that needs a permit began. Those of dead processes are not there any more."""
        process = PROCESS.get()
        self._inside = [other for other in self._inside if not other.dead]
        self._inside.append(process)
        self.most_at_once = max(self.most_at_once, len(self._inside))

    def leave(self) -> None:
        self._inside.remove(PROCESS.get())


class SimGood(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        await asyncio.sleep(self.seconds)
        world.finished[ctx.job_id] += 1


class SimPlain(Job, max_attempts=MANY):
    seconds: float

    def handle(self, ctx: Context, world: World) -> None:
        world.finished[ctx.job_id] += 1


class SimTrips(Job, max_attempts=MANY, backoff=fixed(0.7)):
    """Fails once, then succeeds."""

    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        await asyncio.sleep(self.seconds)
        if ctx.attempt == 1:
            raise OSError("at first")
        world.finished[ctx.job_id] += 1


class SimFails(Job, max_attempts=3, backoff=fixed(0.4)):
    seconds: float

    async def handle(self, ctx: Context) -> None:
        await asyncio.sleep(self.seconds)
        raise OSError("always")


class SimGivesUp(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context) -> None:
        await asyncio.sleep(self.seconds)
        raise Fail("no use")


class SimTimesOut(Job, max_attempts=2, timeout=0.5, backoff=fixed(0.3)):
    seconds: float

    async def handle(self, ctx: Context) -> None:
        await asyncio.sleep(100)


class SimReturnsWhenCancelled(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            return
        world.finished[ctx.job_id] += 1


class SimTidiesSlowly(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        try:
            await asyncio.sleep(self.seconds)
            world.finished[ctx.job_id] += 1
        finally:
            await asyncio.sleep(2)


class SimIgnoresCancellation(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        rest = asyncio.get_running_loop().time() + 4 + self.seconds * 6
        while (left := rest - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                world.run.note("ignores its cancellation")
        world.finished[ctx.job_id] += 1


class SimRaisesWhenCancelled(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            raise OSError("while it was cancelled") from None
        world.finished[ctx.job_id] += 1


class SimAsksAgain(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        await asyncio.sleep(self.seconds)
        if ctx.attempt == 1:
            raise Retry(0.2)
        world.finished[ctx.job_id] += 1


class SimSnoozes(Job, max_attempts=MANY):
    seconds: float
    until: float

    async def handle(self, ctx: Context, world: World) -> None:
        if world.run.clock.monotonic() < self.until:
            raise Snooze(0.5)
        await asyncio.sleep(self.seconds)
        world.finished[ctx.job_id] += 1


class SimReports(Job, max_attempts=MANY):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        for step in range(3):
            await ctx.progress(step, 3)
            await asyncio.sleep(self.seconds / 3)
        world.finished[ctx.job_id] += 1


class SimParent(Job, max_attempts=MANY):
    """Its child has an id of its own, so that it is dispatched once however often this runs."""

    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        await asyncio.sleep(self.seconds)
        await ctx.dispatch(SimGood(self.seconds), id=f"child-of-{ctx.job_id}")
        world.finished[ctx.job_id] += 1


class SimLimited(Job, max_attempts=MANY, limit=Limit("sim", concurrency=2)):
    seconds: float

    async def handle(self, ctx: Context, world: World) -> None:
        world.enter()
        try:
            await asyncio.sleep(self.seconds)
        finally:
            world.leave()
        world.finished[ctx.job_id] += 1


class SimThen(Job, max_attempts=MANY):
    async def handle(self, ctx: Context, world: World) -> None:
        await asyncio.sleep(0.1)


class SimCatch(SimThen): ...


class SimFinally(SimThen): ...


COMPLETE = (
    SimGood,
    SimPlain,
    SimTrips,
    SimReturnsWhenCancelled,
    SimTidiesSlowly,
    SimIgnoresCancellation,
    SimRaisesWhenCancelled,
    SimAsksAgain,
    SimReports,
    SimParent,
    SimLimited,
)
FAIL = (SimFails, SimGivesUp, SimTimesOut)
MAY_NOT_FINISH = (SimReturnsWhenCancelled,)
"""Complete also where their body was cut short: they return from their cancellation."""
