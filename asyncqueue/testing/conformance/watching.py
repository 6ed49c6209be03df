"""Rules of watching: whoever waits is woken by what he waits for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import pytest

from asyncqueue.record import WAITING, Filter, Latch, On, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    REAL_SECONDS,
    Rules,
    claim,
    end,
    enqueue_and_claim,
    needs,
    record,
    records,
    run_to,
    settlement,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.base import Driver, Watch
    from asyncqueue.testing.clock import Clock


QUIET: Final = 0.02
"""Seconds without a ring after which no other is on its way that nobody caused."""


@contextlib.asynccontextmanager
async def rings(driver: Driver, topic: str) -> AsyncGenerator[None]:
    """What happens inside must ring a watch on this topic."""
    with driver.watch([topic, "queue:none of this"]) as watch:
        await _at_rest(driver, watch)
        yield
        await watch.wait(REAL_SECONDS)
        assert watch.rung, f"{topic} did not ring"


async def _at_rest(driver: Driver, watch: Watch) -> None:
    """Until it rings by itself no more: it may, whenever the store has heard of its topics."""
    name = f"marker {id(watch)}"
    with driver.watch([f"queue:{name}"]) as later:
        await driver.enqueue([record(name, name)])
        await later.wait(REAL_SECONDS)
        assert later.rung
    quiet = False
    while not quiet:
        watch.clear()
        await watch.wait(QUIET)
        quiet = not watch.rung


class WatchRules(Rules):
    """What rings which topic."""

    @needs("watch")
    @pytest.mark.parametrize("delay", [0, 60], ids=["due", "delayed"])
    async def test_a_new_job_rings_its_queue(self, driver: Driver, delay: float) -> None:
        """A delayed one too, for it may be the next to be due."""
        async with rings(driver, "queue:q"):
            await driver.enqueue([record("a", delay=delay)])

    @needs("watch")
    @pytest.mark.parametrize("state", WAITING)
    async def test_a_returned_job_rings_its_queue(self, driver: Driver, state: State) -> None:
        got = await enqueue_and_claim(driver)
        async with rings(driver, "queue:q"):
            await end(driver, got, state)

    @needs("watch", "sweep")
    async def test_a_swept_job_rings_its_queue(self, driver: Driver, clock: Clock) -> None:
        await enqueue_and_claim(driver)
        clock.advance(LEASE)
        async with rings(driver, "queue:q"):
            await driver.sweep()

    @needs("watch", "requeue")
    async def test_a_requeued_job_rings_its_queue(self, driver: Driver) -> None:
        await run_to(driver, "a", State.FAILED)
        async with rings(driver, "queue:q"):
            await driver.requeue(Filter())

    @needs("watch", "pause")
    async def test_a_paused_queue_rings(self, driver: Driver) -> None:
        """Contract, ``queue.pause``: a worker may hold jobs of it that must not start."""
        async with rings(driver, "queue:q"):
            await driver.pause(["q"], on=True)

    @needs("watch", "pause")
    async def test_a_resumed_queue_rings(self, driver: Driver) -> None:
        """Contract, ``queue.resume``."""
        await driver.enqueue(records("a"))
        await driver.pause(["q"], on=True)
        async with rings(driver, "queue:q"):
            await driver.pause(["q"], on=False)

    @needs("watch")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
    @pytest.mark.parametrize("retention", [0, 60])
    async def test_a_finished_job_rings(
        self, driver: Driver, state: State, retention: float
    ) -> None:
        got = await enqueue_and_claim(driver)
        async with rings(driver, "job:a"):
            await end(driver, got, state, retention=retention)

    @needs("watch", "cancel")
    async def test_a_cancelled_job_rings(self, driver: Driver) -> None:
        await driver.enqueue(records("a"))
        async with rings(driver, "job:a"):
            await driver.cancel(Filter(), 60)

    @needs("watch", "delete")
    async def test_a_deleted_job_rings(self, driver: Driver) -> None:
        """Whoever waits for its result waits in vain."""
        await driver.enqueue(records("a"))
        async with rings(driver, "job:a"):
            await driver.delete(Filter())

    @needs("watch", "cancel", "sweep")
    @pytest.mark.parametrize("retention", [0, 60])
    async def test_a_job_that_is_cancelled_after_a_crash_rings(
        self, driver: Driver, clock: Clock, retention: float
    ) -> None:
        await enqueue_and_claim(driver)
        await driver.cancel(Filter(), retention)
        clock.advance(LEASE)
        async with rings(driver, "job:a"):
            await driver.sweep()

    @needs("watch", "latches")
    async def test_a_job_for_which_there_will_never_be_a_reason_rings(self, driver: Driver) -> None:
        """Whoever waits for its result waits in vain."""
        held = record("catch", latch="b", held=On.FAILURE)
        await driver.enqueue([record("a", latch="b"), held], latches=[Latch("b", b"")])
        (only,) = await claim(driver)
        async with rings(driver, "job:catch"):
            await driver.settle([settlement(only, State.COMPLETED)])

    @needs("watch", "forget_latches")
    async def test_a_job_of_a_forgotten_latch_rings(self, driver: Driver) -> None:
        held = record("finally", latch="b", held=On.END)
        await driver.enqueue([record("a", latch="b"), held], latches=[Latch("b", b"")])
        async with rings(driver, "job:finally"):
            await driver.forget_latches(["b"])

    @needs("watch", "cancel")
    async def test_a_request_to_cancel_rings_the_worker(self, driver: Driver) -> None:
        await enqueue_and_claim(driver)
        async with rings(driver, "worker:w1"):
            await driver.cancel(Filter(), 60)

    @needs("watch")
    async def test_a_ring_comes_from_another_handle(self, driver: Driver, other: Driver) -> None:
        async with rings(driver, "queue:q"):
            await other.enqueue(records("a"))
        async with rings(other, "job:b"):
            await run_to(driver, "b", State.COMPLETED, "elsewhere")

    @needs("watch")
    async def test_a_ring_before_the_wait_is_remembered(self, driver: Driver) -> None:
        """Between the look and the wait nothing is missed."""
        with driver.watch(["queue:q"]) as watch:
            watch.clear()
            await driver.enqueue(records("a"))
            await watch.wait(REAL_SECONDS)
            await watch.wait(REAL_SECONDS)
            assert watch.rung
            watch.clear()
            await driver.enqueue(records("b"))
            await watch.wait(REAL_SECONDS)
            assert watch.rung

    @needs("watch")
    async def test_one_watch_may_have_many_topics(self, driver: Driver) -> None:
        with driver.watch([f"queue:{n}" for n in range(50)]) as watch:
            for queue in ("7", "49"):
                watch.clear()
                await driver.enqueue([record(queue, queue)])
                await watch.wait(REAL_SECONDS)
                assert watch.rung

    @needs("watch")
    async def test_a_wait_ends_after_its_timeout(self, driver: Driver) -> None:
        with driver.watch(["queue:unused"]) as watch:
            watch.clear()
            await watch.wait(0.01)
