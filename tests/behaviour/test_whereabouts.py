"""A handler that leaks is reported by the line of the application at which it stands."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading

import pytest

from asyncqueue import Context, Job, job
from asyncqueue.execution.whereabouts import _threads

from ..recorder import PATIENCE


class Stuck:
    """Handlers of a test wait here, deaf, until they may end."""

    def __init__(self):
        self.started = threading.Event()
        self.thread_may_end = threading.Event()
        self.proceed = asyncio.Event()

    def block(self):
        self.started.set()
        self.thread_may_end.wait(PATIENCE)

    async def ignore(self):
        self.started.set()
        while not self.proceed.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.proceed.wait()


@pytest.fixture
async def stuck():
    stuck = Stuck()
    yield stuck
    stuck.thread_may_end.set()
    stuck.proceed.set()


def kinds(stuck):
    class Plain(Job):
        def handle(self, ctx: Context) -> None:
            stuck.block()

    class Asynchronous(Job):
        async def handle(self, ctx: Context) -> None:
            await stuck.ignore()

    @job
    def function(ctx: Context) -> None:
        stuck.block()

    def decorated(handle):
        @functools.wraps(handle)
        def around(self, ctx):
            return handle(self, ctx)

        return around

    class Decorated(Job):
        @decorated
        def handle(self, ctx: Context) -> None:
            stuck.block()

    return {
        "plain": (Plain, "block"),
        "async": (Asynchronous, "ignore"),
        "function": (function, "block"),
        "decorated": (Decorated, "block"),
    }


@pytest.mark.parametrize("kind", ["plain", "async", "function", "decorated"])
async def test_a_leak_is_reported_at_the_line_of_the_application(
    queue, make_worker, caplog, stuck, kind
):
    """Not at one of asyncio, anyio or threading, where all that wait stand."""
    job_class, function = kinds(stuck)[kind]
    await queue.dispatch(job_class())
    worker = make_worker(drain_timeout=0)
    await worker.start()
    while not stuck.started.is_set():
        await asyncio.sleep(0.002)
    await worker.stop()
    assert "leaks: its slot is free" in caplog.text
    assert f", last seen at {__file__}:" in caplog.text
    assert f" in {function}" in caplog.text


async def test_where_only_libraries_wait_the_handler_itself_is_named(
    queue, make_worker, caplog, stuck
):
    class Waits(Job):
        def handle(self, ctx: Context) -> None:
            stuck.started.set()
            stuck.thread_may_end.wait(PATIENCE)

    await queue.dispatch(Waits())
    worker = make_worker(drain_timeout=0)
    await worker.start()
    while not stuck.started.is_set():
        await asyncio.sleep(0.002)
    await worker.stop()
    assert f"last seen at {__file__}:" in caplog.text
    assert " in handle" in caplog.text
    stuck.thread_may_end.set()
    async with asyncio.timeout(PATIENCE):
        while _threads:
            await asyncio.sleep(0.002)
