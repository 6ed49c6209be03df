"""The ways in which a worker is told to stop, and the ways in which handlers take it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio

from asyncqueue import Context, Job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncqueue import Worker

Stop = contextlib.AbstractAsyncContextManager[None]


class Stage:
    """What the jobs of a test share with it."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.proceed = asyncio.Event()
        self.thread_may_end = threading.Event()
        self.contexts: list[Context] = []
        self.hooked: list[BaseException] = []
        self.hook_attempts: list[int] = []
        self.loop = asyncio.get_running_loop()

    @property
    def ctx(self) -> Context:
        return self.contexts[-1]

    def enter(self, ctx: Context) -> None:
        self.contexts.append(ctx)
        self.loop.call_soon_threadsafe(self.started.set)

    async def wait(self) -> None:
        """Wait for ever; note the cancellation and pass it on."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def obedient(stage: Stage) -> Any:
    await stage.wait()


async def swallows_and_returns(stage: Stage) -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        await stage.wait()
    return "rescued"


async def swallows_and_raises(stage: Stage) -> Any:
    try:
        await stage.wait()
    except asyncio.CancelledError:
        raise RuntimeError("broke while unwinding") from None


async def deaf(stage: Stage) -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        await stage.wait()
    await stage.proceed.wait()


async def cleans_up(stage: Stage) -> Any:
    try:
        await stage.wait()
    finally:
        await stage.proceed.wait()


async def in_a_task_group(stage: Stage) -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.wait())
        group.create_task(asyncio.Event().wait())


async def in_an_anyio_group(stage: Stage) -> Any:
    async with anyio.create_task_group() as group:
        group.start_soon(stage.wait)
        await anyio.sleep_forever()


async def blocks_the_loop(stage: Stage) -> Any:
    try:
        await stage.wait()
    finally:
        time.sleep(0.05)


def define(handling: Callable[[Stage], Any], stage: Stage, **options: Any) -> type[Job]:
    """A job class whose handler does ``handling``, with a ``failed`` hook that is recorded."""

    class Handled(Job, name="Handled", replace=True, **options):
        async def handle(self, ctx: Context) -> Any:
            stage.enter(ctx)
            return await handling(stage)

        async def failed(self, ctx: Context, error: BaseException) -> None:
            stage.hooked.append(error)
            stage.hook_attempts.append(ctx.attempt)

    return Handled


def define_plain(stage: Stage, **options: Any) -> type[Job]:
    """A plain job: it blocks its thread until ``thread_may_end``."""

    class Blocking(Job, name="Blocking", replace=True, **options):
        def handle(self, ctx: Context) -> str:
            stage.enter(ctx)
            stage.thread_may_end.wait(10)
            return "done"

        def failed(self, ctx: Context, error: BaseException) -> None:
            stage.hooked.append(error)
            stage.hook_attempts.append(ctx.attempt)

    return Blocking


# The triggers. Each is entered with a worker that is not running: inside, it runs; then the
# function that is given stops it and returns when the worker has ended.


@contextlib.asynccontextmanager
async def by_stop(worker: Worker) -> AsyncIterator[Callable[[], Any]]:
    await worker.start()
    yield worker.stop


@contextlib.asynccontextmanager
async def by_cancelling_the_task(worker: Worker) -> AsyncIterator[Callable[[], Any]]:
    running = asyncio.create_task(worker.run())

    async def stop() -> None:
        running.cancel()
        assert await running is None  # It returns normally.

    yield stop


@contextlib.asynccontextmanager
async def by_a_cancel_scope(worker: Worker) -> AsyncIterator[Callable[[], Any]]:
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            await worker.run()

    running = asyncio.create_task(run())

    async def stop() -> None:
        scope.cancel()
        await running

    yield stop


@contextlib.asynccontextmanager
async def by_a_task_group(worker: Worker) -> AsyncIterator[Callable[[], Any]]:
    """A sibling task of ``worker.run()`` breaks."""
    breaks = asyncio.Event()

    async def sibling() -> None:
        await breaks.wait()
        raise ZeroDivisionError

    async def run() -> None:
        with contextlib.suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(worker.run())
                group.create_task(sibling())

    running = asyncio.create_task(run())

    async def stop() -> None:
        breaks.set()
        await running

    yield stop


@contextlib.asynccontextmanager
async def by_leaving_the_block(worker: Worker) -> AsyncIterator[Callable[[], Any]]:
    leave = asyncio.Event()

    async def run() -> None:
        async with worker:
            await leave.wait()

    running = asyncio.create_task(run())

    async def stop() -> None:
        leave.set()
        await running

    yield stop


@contextlib.asynccontextmanager
async def by_cancelling_the_block(worker: Worker) -> AsyncIterator[Callable[[], Any]]:
    """An anyio scope around ``async with worker``: its cancellation comes again and again."""
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            async with worker:
                await anyio.sleep_forever()

    running = asyncio.create_task(run())

    async def stop() -> None:
        scope.cancel()
        await running
        assert not worker.running

    yield stop


@contextlib.asynccontextmanager
async def by_closing_the_queue(worker: Worker) -> AsyncIterator[Callable[[], Any]]:
    await worker.start()
    yield worker.queue.close


TRIGGERS = [
    by_stop,
    by_cancelling_the_task,
    by_a_cancel_scope,
    by_a_task_group,
    by_leaving_the_block,
    by_cancelling_the_block,
    by_closing_the_queue,
]
UNWINDING = [obedient, in_a_task_group, in_an_anyio_group, blocks_the_loop]
"""Handlers that end with the cancellation."""
