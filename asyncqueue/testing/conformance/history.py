"""Rules of what a store tells of one job's life: its attempts, its lease, its place in line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import Extension, Latch, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Rules,
    claim,
    claim_one,
    end,
    ids,
    look,
    needs,
    record,
    settlement,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


class HistoryRules(Rules):
    """What settlements tell of their attempts is kept with the job; lease and place are told."""

    @needs("latches")
    async def test_attempts_are_kept_one_after_the_other(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record("a")])
        for attempt in (b"one", b"\x00two", None, b"three"):
            again = settlement(await claim_one(driver), State.DELAYED, attempt=attempt)
            assert list(await driver.settle([again])) == [True]
        job = await look(driver, "a")
        assert job is not None
        assert job.history == b"one\x00twothree"
        await end(driver, await claim_one(driver), State.COMPLETED)
        job = await look(driver, "a")
        assert job is not None
        assert job.history == b"one\x00twothree"

    @needs("latches")
    @pytest.mark.parametrize("latched", [False, True])
    async def test_whose_attempt_is_told_waits_again_like_any(
        self, driver: Driver, clock: Clock, latched: bool
    ) -> None:
        """At its old place, or when its delay is over."""
        latch = "b" if latched else None
        jobs = [record(name, latch=latch) for name in ("back", "later", "behind")]
        await driver.enqueue(jobs, latches=[Latch("b", b"")] if latched else [])
        back, later = await claim(driver, limit=2)
        clock.advance(5)
        ends = [
            settlement(back, State.PENDING, attempt=b"x"),
            settlement(later, State.DELAYED, attempt=b"x", delay=30, error="boom"),
        ]
        assert list(await driver.settle(ends)) == [True, True]
        job = await look(driver, "later")
        assert job is not None
        assert (job.state, job.error) == (State.DELAYED, "boom")
        assert ids(await claim(driver)) == ["back", "behind"]
        clock.advance(29)
        assert await claim(driver) == []
        clock.advance(1)
        assert ids(await claim(driver)) == ["later"]

    @needs("latches", "extend")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
    async def test_a_job_that_ended_keeps_what_was_told_of_it(
        self, driver: Driver, state: State
    ) -> None:
        await driver.enqueue([record("a")])
        first = settlement(await claim_one(driver), State.DELAYED, attempt=b"one")
        assert list(await driver.settle([first])) == [True]
        second = await claim_one(driver)
        await driver.extend([Extension(second.id, second.token, 40.0, "nearly")], LEASE)
        last = settlement(second, state, attempt=b"two")
        assert list(await driver.settle([last])) == [True]
        job = await look(driver, "a")
        assert job is not None
        assert (job.state, job.history, job.message) == (state, b"onetwo", "nearly")
        assert job.progress == (100 if state is State.COMPLETED else 40)

    @needs("latches")
    async def test_the_rest_of_a_lease_is_told(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("a")])
        waiting = await look(driver, "a")
        assert waiting is not None
        assert waiting.lease_left is None
        await claim_one(driver)
        clock.advance(LEASE - 10)
        running = await look(driver, "a")
        assert running is not None
        assert running.lease_left == pytest.approx(10, abs=0.01)

    @needs("ahead")
    async def test_how_many_are_claimed_before_it(self, driver: Driver) -> None:
        jobs = [record("a"), record("b", priority=5), record("c")]
        jobs.append(record("later", priority=9, delay=60))
        await driver.enqueue([*jobs, record("other", "elsewhere")])
        counts = [await driver.ahead(id) for id in ("b", "a", "c")]
        assert counts[0] == 0
        if driver.fifo:
            assert counts == [0, 1, 2]
        assert await driver.ahead("later") is None
        assert await driver.ahead("unknown") is None
        first = await claim_one(driver)
        assert await driver.ahead(first.id) is None
        if driver.fifo:
            assert await driver.ahead("c") == 1
