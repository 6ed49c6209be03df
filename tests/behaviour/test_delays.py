"""Delays count from the dispatch or the end of the attempt, however late the store hears of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Context, Job, JobQueued, Retry, Snooze, State
from asyncqueue.drivers.sqlite import SqliteDriver

from ..recorder import PATIENCE, until
from .frail import frail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncqueue import Queue, Worker
    from asyncqueue.testing import Clock

    from ..recorder import Recorder


@pytest.fixture
def driver(tmp_path: Path, clock: Clock) -> Any:
    return frail(SqliteDriver(tmp_path / "queue.db", clock=clock))


class Later(Job, name="DelayedLater"):
    async def handle(self, ctx: Context) -> None: ...


class Once(Job, name="DelayedOnce", unique=True, unique_for=10):
    async def handle(self, ctx: Context) -> None: ...


async def test_behind_a_group_in_flight(
    queue: Queue, driver: Any, clock: Clock, events: Recorder
) -> None:
    """Not from the moment when the group before it was stored."""
    driver.held["enqueue"] = asyncio.Event()
    dispatched_at = clock.now()
    first = asyncio.create_task(queue.dispatch(Later()))
    await until(lambda: driver.calls["enqueue"])
    behind = [asyncio.create_task(queue.dispatch(Later(), delay=delay)) for delay in (10, 3, 0)]
    unique = asyncio.create_task(queue.dispatch(Once()))
    await asyncio.sleep(0)
    clock.advance(4)
    driver.held.pop("enqueue").set()
    await first
    ten, three, none = [await (await each).status() for each in behind]
    assert ten.state is State.DELAYED
    assert ten.available_at == dispatched_at + timedelta(seconds=10)
    assert (three.state, none.state) == (State.PENDING, State.PENDING), "due by now"
    clock.advance(5.9)
    assert (await queue.dispatch(Once())).duplicate
    clock.advance(0.1)
    assert not (await queue.dispatch(Once())).duplicate, "ten seconds after its dispatch"
    await unique
    assert [event.delay for event in events.of(JobQueued)][:5] == [0, 10, 3, 0, 0]


@pytest.mark.parametrize("raised", [Snooze(60), Retry(60), ValueError("backoff")])
async def test_an_outage_between_the_end_of_an_attempt_and_its_settlement(
    queue: Queue,
    driver: Any,
    clock: Clock,
    make_worker: Callable[..., Worker],
    raised: Exception,
) -> None:
    """The job is due so many seconds after its attempt, not after the outage."""

    class Again(Job, name="DelayedAgain", backoff=60, replace=True):
        async def handle(self, ctx: Context) -> None:
            driver.broken.add("settle")
            raise raised

    handle = await queue.dispatch(Again())
    ended_at = clock.now()
    async with make_worker(lease=1000):
        await until(lambda: driver.calls["settle"])
        clock.advance(25)
        driver.broken.clear()

        async def settled() -> bool:
            return (await handle.status()).state is State.DELAYED

        async with asyncio.timeout(PATIENCE):
            while not await settled():
                await asyncio.sleep(0.01)
        assert (await handle.status()).available_at == ended_at + timedelta(seconds=60)
