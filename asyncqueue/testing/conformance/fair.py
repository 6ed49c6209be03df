"""Rules of fair keys: whose turn it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.record import WAITING, Filter, Limited
from asyncqueue.testing.conformance.rules import Q, Rules, claim, claim_one, ids, needs, record

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


class FairRules(Rules):
    """Within a priority those of each key take turns."""

    @needs("acquire")
    async def test_a_flood_does_not_hold_up_others(self, driver: Driver) -> None:
        await driver.enqueue([record(f"a{n}", fair="a") for n in range(50)])
        first = ids(await claim(driver, limit=5))
        if driver.fifo:
            assert first == ["a0", "a1", "a2", "a3", "a4"]
        await driver.enqueue([record(f"b{n}", fair="b") for n in range(3)])
        if not driver.fifo:  # They take turns within each part, and the parts are asked in turn.
            parts = [(await claim_one(driver)).id[0] for _ in range(20)]
            assert parts.count("b") == 3
            return
        order = ids(await claim(driver, limit=8))
        assert [name for name in order if name[0] == "b"] == ["b0", "b1", "b2"]
        assert [name for name in order if name[0] == "a"] == ["a5", "a6", "a7", "a8", "a9"]
        assert "".join(name[0] for name in order[:6]) in ("ababab", "bababa")

    @needs("acquire")
    async def test_claims_one_by_one_take_turns_as_well(self, driver: Driver) -> None:
        for key in "abc":
            await driver.enqueue([record(f"{key}{n}", fair=key) for n in range(4)])
        order = [(await claim_one(driver)).id for _ in range(12)]
        if not driver.fifo:
            assert {name[0] for name in order[:9]} == set("abc")
            return
        for n in range(4):
            assert sorted(order[3 * n : 3 * n + 3]) == [f"a{n}", f"b{n}", f"c{n}"]

    @needs("acquire")
    async def test_priority_comes_first(self, driver: Driver) -> None:
        await driver.enqueue([record(f"low{n}", fair="x", priority=0) for n in range(2)])
        await driver.enqueue([record(f"high{n}", fair="y", priority=9) for n in range(2)])
        order = ids(await claim(driver))
        assert [sorted(order[:2]), sorted(order[2:])] == [["high0", "high1"], ["low0", "low1"]]

    @needs("acquire")
    async def test_those_without_a_key_have_a_turn(self, driver: Driver) -> None:
        await driver.enqueue([record(f"a{n}", fair="a") for n in range(20)])
        await driver.enqueue([record("p0"), record("p1")])
        order = ids(await claim(driver, limit=6))
        assert [name for name in order if name[0] == "p"] == ["p0", "p1"]

    @needs("acquire")
    async def test_those_that_are_not_due_have_none(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("later", fair="a", delay=60), record("now", fair="b")])
        assert ids(await claim(driver)) == ["now"]
        clock.advance(61)
        assert ids(await claim(driver)) == ["later"]

    @needs("acquire")
    async def test_limits_hold_for_them(self, driver: Driver) -> None:
        one = (Limited("one", 1),)
        await driver.enqueue([record(f"a{n}", fair="a", limits=one) for n in range(3)])
        await driver.enqueue([record(f"b{n}", fair="b") for n in range(3)])
        order = ids(await claim(driver))
        assert sorted(order) == ["a0", "b0", "b1", "b2"]
        assert await driver.count(Filter(source=Q, states=WAITING)) == 2

    @needs("acquire", "cancel", "counts")
    async def test_they_are_counted_and_cancelled_as_any(self, driver: Driver) -> None:
        await driver.enqueue([record(f"a{n}", fair="a") for n in range(3)])
        await driver.cancel(Filter(ids=("a0", "a1")), 3600)
        assert (await driver.counts())["q"].pending == 1
        assert ids(await claim(driver)) == ["a2"]
        assert await claim(driver) == []
