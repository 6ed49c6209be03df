"""Rules of those who wait for permits: who tries again, and who is told when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from asyncqueue.record import Limited, Source, State
from asyncqueue.testing.conformance.limits import PER_MINUTE, limited
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Q,
    Rules,
    assert_fifo,
    claim,
    claim_one,
    end,
    ids,
    needs,
    record,
)
from asyncqueue.testing.conformance.watching import rings

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock

ONE: Final = (Limited("one", 1),)


class RefillRules(Rules):
    """Whoever waited for a permit takes its place again as soon as there is one."""

    @needs("acquire")
    async def test_of_those_who_waited_the_more_urgent_tries_first(self, driver: Driver) -> None:
        await driver.enqueue(limited("first", limits=ONE))
        first = await claim_one(driver)
        await driver.enqueue(limited("low", limits=ONE, priority=0))
        await driver.enqueue(limited("high", limits=ONE, priority=9))
        assert await claim(driver) == []
        await end(driver, first, State.COMPLETED)
        high = await claim_one(driver)
        await end(driver, high, State.COMPLETED)
        assert ids([high, *await claim(driver)]) == ["high", "low"]

    @needs("acquire")
    async def test_they_take_their_old_places(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue(limited("first", "a", limits=ONE))
        first = await claim_one(driver)
        assert await claim(driver) == []
        clock.advance(5)
        await driver.enqueue([record("came later")])
        clock.advance(5)
        await end(driver, first, State.COMPLETED)
        assert_fifo(driver, ids(await claim(driver)), ["a", "came later"])

    @needs("acquire")
    async def test_who_tried_before_waits_by_its_new_time(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(limited("a", "b", limits=ONE))
        first = await claim_one(driver)
        clock.advance(5)
        await end(driver, first, State.DELAYED)
        assert await driver.acquire("one", "somebody", 1, 60) == 0
        assert await claim(driver) == []
        await driver.release("one")
        second = await claim_one(driver)
        await end(driver, second, State.COMPLETED)
        assert ids([first, second, *await claim(driver)]) == ["a", "b", "a"]

    @needs("acquire")
    async def test_they_keep_to_the_order_of_sources(self, driver: Driver) -> None:
        await driver.enqueue([record("plain", "second", priority=9)])
        await driver.enqueue(limited("a", "b", limits=ONE, queue="first"))
        sources = [Source("first"), Source("second")]
        assert ids(await claim(driver, *sources, limit=1)) == ["a"]
        assert ids(await claim(driver, *sources, limit=1)) == ["plain"]

    @needs("acquire", "clone")
    async def test_who_did_not_set_them_aside_is_told_when_as_well(
        self, driver: Driver, other: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(limited("a", "b", "c", limits=PER_MINUTE))
        assert len(await claim(driver)) == 2
        clock.advance(20)
        claimed = await other.claim([Q], 10, LEASE, "w2")
        assert (claimed.claims, claimed.due_in) == ([], pytest.approx(40, abs=0.01))

    @needs("acquire")
    async def test_a_permit_that_comes_sooner_is_heard_of(
        self, driver: Driver, clock: Clock
    ) -> None:
        """They were to wait for longer before."""
        assert await driver.acquire("one", "slow", 1, 60) == 0
        await driver.enqueue(limited("a", limits=ONE))
        assert await claim(driver) == []
        await driver.release("one")
        assert await driver.acquire("one", "quick", 1, 10) == 0
        claimed = await driver.claim([Q], 10, LEASE, "w1")
        assert (claimed.claims, claimed.due_in) == ([], pytest.approx(10, abs=0.01))
        clock.advance(11)
        assert ids(await claim(driver)) == ["a"]

    @needs("acquire", "watch")
    async def test_who_watches_their_queue_hears_of_a_permit(self, driver: Driver) -> None:
        await driver.enqueue([*limited("a", limits=ONE), *limited("b", limits=ONE, queue="r")])
        first = await claim_one(driver)
        assert await claim(driver, Source("r")) == []
        async with rings(driver, "queue:r"):
            await end(driver, first, State.COMPLETED)
        assert ids(await claim(driver, Source("r"))) == ["b"]

    @needs("acquire")
    async def test_who_waits_for_longer_makes_nobody_wait_for_longer(self, driver: Driver) -> None:
        for holder, seconds in (("x", 10), ("y", 60)):
            assert await driver.acquire("one", holder, 2, seconds) == 0
        for name, most in (("a", 2), ("b", 1)):
            await driver.enqueue(limited(name, limits=(Limited("one", most),)))
            claimed = await driver.claim([Q], 10, LEASE, "w1")
            assert (claimed.claims, claimed.due_in) == ([], pytest.approx(10, abs=0.01))

    @needs("acquire")
    async def test_where_more_are_taken_than_there_are_they_wait_for_all(
        self, driver: Driver
    ) -> None:
        """Somebody else may think that there are more of them."""
        for holder in "xyz":
            assert await driver.acquire("one", holder, 3, 60) == 0
        await driver.enqueue(limited("a", limits=ONE))
        for holder in "xyz":
            assert await claim(driver) == []
            assert await driver.release("one", holder) == 1
        assert ids(await claim(driver)) == ["a"]
