"""Rules of permits: how many there are, who holds them, and until when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.testing.conformance.rules import Rules, needs

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


class PermitRules(Rules):
    """At most so many hold a permit of one key at a time, over all handles."""

    @needs("acquire")
    async def test_only_so_many_hold_one(self, driver: Driver) -> None:
        assert await driver.acquire("k", "a", 2, 60) == 0.0
        assert await driver.acquire("k", "b", 2, 30) == 0.0
        assert await driver.acquire("k", "c", 2, 60) == pytest.approx(30, abs=0.01)
        assert await driver.acquire("other", "c", 2, 60) == 0.0
        assert [permit.holder for permit in await driver.holders("k")] == ["b", "a"]
        assert await driver.holders("unknown") == []

    @needs("acquire")
    async def test_one_is_free_again_when_it_expires(self, driver: Driver, clock: Clock) -> None:
        await driver.acquire("k", "a", 1, 60)
        clock.advance(59)
        (permit,) = await driver.holders("k")
        assert permit.expires_in == pytest.approx(1, abs=0.01)
        assert await driver.acquire("k", "b", 1, 60) == pytest.approx(1, abs=0.01)
        clock.advance(1)
        assert await driver.holders("k") == []
        assert await driver.acquire("k", "b", 1, 60) == 0.0
        assert [permit.holder for permit in await driver.holders("k")] == ["b"]

    @needs("acquire")
    async def test_one_is_free_again_when_it_is_given_back(self, driver: Driver) -> None:
        await driver.acquire("k", "a", 1, 60)
        assert await driver.release("k", "b") == 0
        assert await driver.acquire("k", "b", 1, 60) > 0
        assert await driver.release("k", "a") == 1
        assert await driver.acquire("k", "b", 1, 60) == 0.0

    @needs("acquire")
    async def test_all_of_a_key_can_be_given_back(self, driver: Driver) -> None:
        for holder in "abc":
            await driver.acquire("k", holder, 3, 60)
        await driver.acquire("other", "a", 3, 60)
        assert await driver.release("k") == 3
        assert await driver.holders("k") == []
        assert len(await driver.holders("other")) == 1

    @needs("acquire")
    async def test_who_holds_one_keeps_it_for_longer(self, driver: Driver, clock: Clock) -> None:
        await driver.acquire("k", "a", 1, 60)
        clock.advance(50)
        assert await driver.acquire("k", "a", 1, 60) == 0.0
        clock.advance(50)
        assert await driver.acquire("k", "b", 1, 60) == pytest.approx(10, abs=0.01)

    @needs("acquire")
    async def test_a_full_key_says_when_there_is_room_for_one_more(self, driver: Driver) -> None:
        await driver.acquire("k", "a", 9, 10)
        await driver.acquire("k", "b", 9, 20)
        await driver.acquire("k", "c", 9, 30)
        assert await driver.acquire("k", "d", 2, 60) == pytest.approx(20, abs=0.01)

    @needs("acquire", "clone")
    async def test_of_many_at_once_only_so_many_get_one(
        self, driver: Driver, other: Driver
    ) -> None:
        handles = [driver, other] * 10
        waits = await asyncio.gather(
            *(handle.acquire("k", f"h{n}", 3, 60) for n, handle in enumerate(handles))
        )
        assert sum(wait == 0 for wait in waits) == 3

    @needs("acquire")
    async def test_those_that_have_expired_are_not_given_back(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.acquire("k", "old", 2, 10)
        await driver.acquire("k", "new", 2, 60)
        clock.advance(11)
        assert await driver.release("k", "old") == 0
        assert await driver.release("k") == 1

    @needs("acquire", "prune")
    async def test_pruning_takes_none_away(self, driver: Driver, clock: Clock) -> None:
        await driver.acquire("k", "old", 2, 10)
        await driver.acquire("k", "new", 2, 60)
        clock.advance(11)
        await driver.prune(0)
        assert [permit.holder for permit in await driver.holders("k")] == ["new"]
        assert await driver.acquire("k", "a", 2, 60) == 0
        assert await driver.acquire("k", "b", 2, 60) == pytest.approx(49, abs=0.01)
