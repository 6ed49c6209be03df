"""Rules of leases: what a dead worker held comes back, what a live one holds does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import Extension, Filter, Hold, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Rules,
    assert_fifo,
    claim,
    claim_one,
    end,
    enqueue_and_claim,
    ids,
    look,
    needs,
    proves,
    record,
    records,
    settlement,
    state_of,
)
from asyncqueue.testing.conformance.settling import ENDS

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


class LeaseRules(Rules):
    """Leases run out, are renewed and are swept."""

    @proves("DRV-12", "DRV-30", "MON-13")
    @needs("sweep")
    async def test_a_job_comes_back_when_its_lease_runs_out(
        self, driver: Driver, clock: Clock
    ) -> None:
        """The attempt stays counted."""
        first = await enqueue_and_claim(driver)
        clock.advance(LEASE - 1)
        assert await driver.sweep() == 0
        assert await claim(driver, worker="w2") == []
        clock.advance(1)
        assert await driver.sweep() == 1
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.state, stored.worker) == (State.PENDING, None)
        again = await claim_one(driver, worker="w2")
        assert (again.id, again.attempts) == ("a", 2)
        assert again.token > first.token

    @proves("DRV-12")
    @needs("sweep")
    async def test_a_returned_job_is_at_the_front(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue(records("a", "b", "c"))
        await claim(driver, limit=2)
        clock.advance(LEASE)
        await driver.enqueue(records("d"))
        assert await driver.sweep() == 2
        assert ids(await claim(driver)) == ["a", "b", "c", "d"]

    @proves("DRV-12")
    @needs("sweep")
    @pytest.mark.parametrize("way", ["swept", "handed back"])
    async def test_one_that_was_retried_returns_to_the_place_of_its_retry(
        self, driver: Driver, clock: Clock, way: str
    ) -> None:
        retried = await enqueue_and_claim(driver)
        await driver.settle([settlement(retried, State.DELAYED, delay=10)])
        clock.advance(5)
        await driver.enqueue(records("b"))
        clock.advance(10)
        await driver.enqueue(records("c"))
        for _ in range(2):
            claims = await claim(driver)
            assert_fifo(driver, ids(claims), ["b", "a", "c"])
            if way == "swept":
                clock.advance(LEASE)
                assert await driver.sweep() == 3
            else:
                await driver.settle([settlement(one, State.PENDING) for one in claims])

    @proves("MON-13")
    @needs("sweep")
    async def test_a_sweep_returns_a_job_once(
        self, driver: Driver, other: Driver, clock: Clock
    ) -> None:
        """Any number of workers may sweep at once."""
        await driver.enqueue([record(f"{n}") for n in range(20)])
        await claim(driver)
        clock.advance(LEASE)
        answers = await asyncio.gather(*(handle.sweep() for handle in [driver, other] * 5))
        assert sum(answers) == 20
        assert await driver.sweep() == 0
        assert len(await claim(driver)) == 20

    @proves("MON-13")
    @needs("sweep", "extend")
    async def test_each_comes_back_when_its_own_lease_runs_out(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(records("a", "b", "c", "d"))
        a, b, c, d = await claim(driver, lease=90)
        for one, lease in ((c, 30), (a, 10), (b, 20)):
            assert await driver.extend([Extension(one.id, one.token)], lease) == [Hold.HELD]
        for one in (a, b, c):
            assert await driver.sweep() == 0
            clock.advance(10)
            assert await driver.sweep() == 1
            assert await state_of(driver, one.id) is State.PENDING
        assert await state_of(driver, d.id) is State.PROCESSING

    @proves("MON-13")
    @needs("sweep")
    async def test_a_sweep_leaves_others_alone(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([*records("a", "b", "c", "d", "e"), record("delayed", delay=9e6)])
        done, failed = await claim_one(driver), await claim_one(driver)
        await end(driver, done, State.COMPLETED)
        await end(driver, failed, State.FAILED)
        (short,) = await claim(driver, limit=1, lease=10)
        (long,) = await claim(driver, limit=1, lease=100)
        (waiting,) = set("abcde") - set(ids([done, failed, short, long]))
        clock.advance(50)
        assert await driver.sweep() == 1
        names = [*ids([done, failed, short, long]), waiting, "delayed"]
        states = [await state_of(driver, id) for id in names]
        assert states == [
            State.COMPLETED,
            State.FAILED,
            State.PENDING,
            State.PROCESSING,
            State.PENDING,
            State.DELAYED,
        ]

    @proves("DRV-13")
    @needs("sweep")
    @pytest.mark.parametrize("state", ENDS)
    @pytest.mark.parametrize("taken", [True, False], ids=["claimed again", "not yet"])
    async def test_after_its_lease_a_claim_settles_nothing(
        self, driver: Driver, clock: Clock, state: State, taken: bool
    ) -> None:
        stale = await enqueue_and_claim(driver)
        clock.advance(LEASE)
        await driver.sweep()
        if taken:
            await claim_one(driver, worker="w2")
        before = await look(driver, "a")
        late = settlement(stale, state, delay=60, error="late", result=b"late", retention=0)
        assert await driver.settle([late]) == [False]
        assert await look(driver, "a") == before

    @proves("DRV-13")
    @needs("sweep", "extend")
    async def test_after_its_lease_a_claim_cannot_be_extended(
        self, driver: Driver, clock: Clock
    ) -> None:
        stale = await enqueue_and_claim(driver)
        clock.advance(LEASE)
        await driver.sweep()
        late = [Extension("a", stale.token, progress=77)]
        assert await driver.extend(late, LEASE) == [Hold.LOST]
        await claim_one(driver, worker="w2")
        assert await driver.extend(late, 9e9) == [Hold.LOST]
        stored = await look(driver, "a")
        assert stored is not None
        assert stored.progress is None
        clock.advance(LEASE)
        assert await driver.sweep() == 1

    @proves("DRV-12")
    @needs("sweep", "extend")
    async def test_a_renewed_lease_counts_from_now(self, driver: Driver, clock: Clock) -> None:
        got = await enqueue_and_claim(driver)
        for _ in range(5):
            clock.advance(LEASE - 1)
            assert await driver.sweep() == 0
            assert await driver.extend([Extension("a", got.token)], LEASE) == [Hold.HELD]
        clock.advance(LEASE)
        assert await driver.sweep() == 1

    @needs("extend", "sweep")
    async def test_however_many_are_renewed_together(self, driver: Driver, clock: Clock) -> None:
        """Also where a driver asks its store in pieces."""
        await driver.enqueue(records(*(f"{n}" for n in range(1200))))
        held = await claim(driver, limit=1200)
        clock.advance(LEASE - 1)
        extensions = [Extension(one.id, one.token) for one in held]
        assert await driver.extend(extensions, LEASE) == [Hold.HELD] * 1200
        clock.advance(LEASE - 1)
        assert await driver.sweep() == 0
        clock.advance(1)
        assert await driver.sweep() == 1200

    @proves("DRV-12")
    @needs("sweep", "extend")
    async def test_a_lease_may_be_made_shorter(self, driver: Driver, clock: Clock) -> None:
        got = await enqueue_and_claim(driver)
        assert await driver.extend([Extension("a", got.token)], 1) == [Hold.HELD]
        clock.advance(1)
        assert await driver.sweep() == 1

    @proves("DRV-12")
    @needs("sweep", "extend")
    async def test_a_lease_that_ran_out_unnoticed_can_be_renewed(
        self, driver: Driver, clock: Clock
    ) -> None:
        """Nobody else has the job."""
        got = await enqueue_and_claim(driver)
        clock.advance(LEASE * 10)
        assert await driver.extend([Extension("a", got.token)], LEASE) == [Hold.HELD]
        assert await driver.sweep() == 0

    @proves("MON-05")
    @needs("extend")
    async def test_progress_is_carried_along(self, driver: Driver) -> None:
        got = await enqueue_and_claim(driver)
        assert await driver.extend([Extension("a", got.token, 40, "half 🐝")], LEASE) == [Hold.HELD]
        assert await driver.extend([Extension("a", got.token)], LEASE) == [Hold.HELD]
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.progress, stored.message) == (40, "half 🐝")
        await end(driver, got, State.COMPLETED)
        stored = await look(driver, "a")
        assert stored is not None
        assert stored.progress == 100

    @proves("DRV-13")
    @needs("extend")
    async def test_only_what_is_held_can_be_extended(self, driver: Driver) -> None:
        """Answers come in the order of the question."""
        await driver.enqueue(records("done", "held", "back"))
        done, held, back = await claim(driver)
        await end(driver, done, State.COMPLETED)
        await end(driver, back, State.PENDING)
        asked = [Extension(job.id, job.token) for job in (done, held, back)]
        asked += [Extension("unknown", 1), Extension("held", held.token + 1)]
        lost = Hold.LOST
        assert await driver.extend(asked, LEASE) == [lost, Hold.HELD, lost, lost, lost]
        assert await driver.extend([], LEASE) == []

    @proves("MON-16")
    @needs("sweep", "cancel")
    async def test_a_called_off_job_does_not_come_back(self, driver: Driver, clock: Clock) -> None:
        """Its worker died before it could cancel it; nobody else needs to wait for its key."""
        await driver.enqueue([record("a", key="k")])
        await claim_one(driver)
        await driver.cancel(Filter(ids=("a",)), 600)
        clock.advance(LEASE)
        assert await driver.sweep() == 0
        assert await state_of(driver, "a") == State.CANCELLED
        assert await claim(driver) == []
        assert await driver.called_off("w1") == []
        assert await driver.enqueue([record("b", key="k")]) == [None]
        clock.advance(600)
        assert await look(driver, "a") is None
