"""Jobs that belong together: what they did, what they are to do, and who was called."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncqueue import Context, Job, Queue, Worker
from asyncqueue.callbacks import callbacks

from ..recorder import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue import Batch, BatchInfo


class Boom(Exception):  # noqa: N818 - it is what it does
    """What a job of these tests raises."""


class Call(NamedTuple):
    """A callback was called with this."""

    name: str
    batch: BatchInfo | None = None
    error: BaseException | None = None


class Scene:
    """What the jobs and callbacks of a test share with it: a service of their queue."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.calls: list[Call] = []
        self.contexts: list[Context] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.acts: dict[str, Callable[[Context], Awaitable[Any]]] = {}
        self.started: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def called(self) -> list[str]:
        """The names of the callbacks that were called, in order."""
        return [call.name for call in self.calls]

    def hold(self, what: str) -> asyncio.Event:
        """Let this job, or callback, wait until the answer is set."""
        self.gates[what] = asyncio.Event()
        return self.gates[what]

    async def enter(self, what: str) -> None:
        self.started[what].set()
        if what in self.gates:
            await self.gates[what].wait()

    async def called_as(self, name: str, batch: BatchInfo | None, error: Any = None) -> None:
        self.calls.append(Call(name, batch, error))
        await self.enter(name)

    # The callbacks, by the names under which they are registered

    async def then(self, batch: BatchInfo) -> None:
        await self.called_as("then", batch)

    async def catch(self, batch: BatchInfo, error: BaseException) -> None:
        await self.called_as("catch", batch, error)

    async def end(self, batch: BatchInfo) -> None:
        await self.called_as("finally", batch)

    async def chain_catch(self, error: BaseException) -> None:
        await self.called_as("chain catch", None, error)

    async def breaks(self, batch: BatchInfo) -> None:
        await self.called_as("breaks", batch)
        raise Boom("a callback")

    def register(self) -> None:
        """Give them their names."""
        for name in ("then", "catch", "end", "chain_catch", "breaks"):
            callbacks.register(name, getattr(self, name), replace=True)


class Step(Job, name="LinkedStep", backoff=1):
    """Notes that it ran; its first ``fails`` attempts raise."""

    what: str = "step"
    fails: int = 0

    async def handle(self, ctx: Context) -> str:
        scene = ctx.get(Scene)
        scene.contexts.append(ctx)
        scene.ran.append(self.what)
        await scene.enter(self.what)
        if self.what in scene.acts:
            await scene.acts[self.what](ctx)
        if ctx.attempt <= self.fails:
            raise Boom(self.what)
        return self.what


class Fails(Step, name="LinkedFails", max_attempts=1):
    """Fails for good at once."""

    fails: int = 1


class Report(Job, name="LinkedReport"):
    """A job that is a callback: it is told of a batch by its own context."""

    what: str = "report"

    async def handle(self, ctx: Context) -> None:
        await ctx.get(Scene).called_as(self.what, await ctx.batch(), ctx.failure)


def steps(*names: str) -> list[Step]:
    """Good ones."""
    return [Step(name) for name in names]


def listening(batch: Batch) -> Batch:
    """The batch with all three callbacks."""
    return batch.then("then").catch("catch").finally_("end")


async def run(queue: Queue, queues: Any = None, **options: Any) -> None:
    """Run what is due, and what follows it, until nothing is; one at a time unless told."""
    options.setdefault("concurrency", 1)
    worker = Worker(queue, queues, stop_when_empty=True, poll_interval=0.01, **options)
    async with asyncio.timeout(PATIENCE):
        await worker.run()


def numbers(batch: BatchInfo | None) -> tuple[int, int, int, int, int]:
    """Total, pending, completed, failed, skipped."""
    assert batch is not None
    assert batch.pending + batch.completed + batch.failed + batch.skipped == batch.total
    return batch.total, batch.pending, batch.completed, batch.failed, batch.skipped


async def found(queue: Queue, batch: BatchInfo | Batch) -> BatchInfo:
    """The batch as it is now."""
    info = await queue.find_batch(batch.id)
    assert info is not None
    return info
