"""Schedulers on a queue that records, or on every driver, and clocks that are not quite right."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Queue, Scheduler
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.testing import Clock, FakeQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncqueue.clock import Timer


class Wall:
    """A clock that is wrong by ``ahead`` seconds, and can be set; its timers are not."""

    def __init__(self, true: Clock, ahead: float = 0.0) -> None:
        self._true = true
        self.ahead = ahead

    def time(self) -> float:
        return self._true.time() + self.ahead

    def monotonic(self) -> float:
        return self._true.monotonic()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return self._true.call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        await self._true.sleep(delay)


async def dispatched(*schedulers: Scheduler) -> None:
    """Return when nothing is being dispatched but what waits for a test or for the clock."""
    for _ in range(5):
        await asyncio.sleep(0)
    for scheduler in schedulers:
        while scheduler._firings:
            await asyncio.wait(scheduler._firings)


@pytest.fixture
async def fake(clock: Clock) -> AsyncIterator[FakeQueue]:
    async with FakeQueue(clock=clock) as queue:
        yield queue


@pytest.fixture
async def scheduler(fake: FakeQueue) -> AsyncIterator[Scheduler]:
    """On a queue that records what is dispatched; it is not running yet."""
    scheduler = Scheduler(fake)
    yield scheduler
    await scheduler.stop()


@pytest.fixture
def beside(queue: Queue, make_queue: Callable[..., Queue], clock: Clock) -> Callable[..., Queue]:
    """Queues of other processes on the store of ``queue``, whose clocks may be wrong."""

    def make(ahead: float = 0.0, **options: Any) -> Queue:
        driver = queue.driver.clone()
        wrong = Wall(clock, ahead)
        if isinstance(driver, MemoryDriver):  # The clock of one handle is that of all.
            driver.__class__ = type("Beside", (MemoryDriver,), {"clock": wrong})
        else:
            driver.clock = wrong
        assert (driver.clock.time(), queue.driver.clock.time()) == (wrong.time(), clock.time())
        return make_queue(driver, **options)

    return make


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What schedulers have logged, as ``LEVEL message``."""
    caplog.set_level(logging.DEBUG, "asyncqueue.schedule")
    return lambda: [
        f"{record.levelname} {record.getMessage()}"
        for record in caplog.records
        if record.name == "asyncqueue.schedule"
    ]
