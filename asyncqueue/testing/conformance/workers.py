"""Rules of presence: who works here, and on what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.record import Presence, State
from asyncqueue.testing.conformance.rules import LEASE, Rules, claim, end, instant, needs, records

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


def presence(id: str, clock: Clock) -> Presence:
    """A worker on two queues."""
    return Presence(id, "host 🏠", 4242, ["q", "emails:high"], 10, started_at=clock.time())


class WorkerRules(Rules):
    """Workers are seen while they say so."""

    @needs("announce", "workers")
    async def test_an_announced_worker_is_seen(self, driver: Driver, clock: Clock) -> None:
        """Contract, ``queue.workers()``."""
        started = clock.time()
        given = presence("w1", clock)
        clock.advance(3)
        await driver.announce(given, 60)
        (seen,) = await driver.workers()
        assert (seen.id, seen.host, seen.pid) == ("w1", "host 🏠", 4242)
        assert (seen.queues, seen.concurrency) == (["q", "emails:high"], 10)
        assert seen.started_at == instant(started)
        assert seen.last_seen == instant(clock.time())
        assert seen.running == []
        given.queues.append("changed later")
        assert (await driver.workers())[0].queues == ["q", "emails:high"]

    @needs("announce", "workers")
    async def test_a_worker_is_forgotten_after_its_time(self, driver: Driver, clock: Clock) -> None:
        """Contract, ``queue.workers()``: live ones only."""
        await driver.announce(presence("w1", clock), 60)
        await driver.announce(presence("w2", clock), 60)
        clock.advance(40)
        await driver.announce(presence("w2", clock), 60)
        clock.advance(20)
        assert [worker.id for worker in await driver.workers()] == ["w2"]
        clock.advance(40)
        assert await driver.workers() == []

    @needs("announce", "workers", "retire")
    async def test_a_retired_worker_is_forgotten_at_once(
        self, driver: Driver, clock: Clock
    ) -> None:
        """Contract, ``queue.workers()``."""
        await driver.announce(presence("w1", clock), 60)
        await driver.announce(presence("w2", clock), 60)
        await driver.retire("w1")
        await driver.retire("unknown")
        assert [worker.id for worker in await driver.workers()] == ["w2"]

    @needs("announce", "workers")
    async def test_a_worker_shows_what_it_holds(
        self, driver: Driver, other: Driver, clock: Clock
    ) -> None:
        """Contract, ``queue.workers()``."""
        await driver.announce(presence("w1", clock), 60)
        await other.announce(presence("w2", clock), 60)
        await driver.enqueue(records("a", "b", "c", "d"))
        got = await claim(driver, limit=2, worker="w1", lease=LEASE)
        await claim(other, limit=1, worker="w2")
        held = {worker.id: sorted(worker.running) for worker in await other.workers()}
        assert held == {"w1": ["a", "b"], "w2": ["c"]}
        await end(driver, got[0], State.COMPLETED)
        await end(driver, got[1], State.PENDING)
        held = {worker.id: worker.running for worker in await driver.workers()}
        assert held == {"w1": [], "w2": ["c"]}

    async def test_nobody_works_unannounced(self, driver: Driver) -> None:
        """Contract, ``queue.workers()``."""
        await driver.enqueue(records("a"))
        await claim(driver)
        assert await driver.workers() == []
