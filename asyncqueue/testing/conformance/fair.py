"""Rules of fair keys: whose turn it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

from asyncqueue.record import WAITING, Filter, Latch, Limited, On, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Q,
    Rules,
    claim,
    claim_one,
    end,
    ids,
    lane,
    needs,
    record,
    settlement,
    state_of,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record
    from asyncqueue.testing.clock import Clock


class FairRules(Rules):
    """Within a priority those of each key take turns."""

    @needs("acquire")
    async def test_who_comes_again_and_again_does_not_keep_out_those_without_a_key(
        self, driver: Driver
    ) -> None:
        """Each time the last of its key is taken, and it has no turn to wait for."""
        await driver.enqueue([record("plain"), record("a0", fair="a")])
        got: list[str] = []
        for n in range(1, 4):
            got.append((await claim_one(driver)).id)
            await driver.enqueue([record(f"a{n}", fair="a")])
        assert "plain" in got[:2]

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
    @pytest.mark.parametrize(("keys", "limit"), [("abc", 2), ("ab", 3)])
    async def test_turns_go_on_where_the_last_claim_ended(
        self, driver: Driver, keys: str, limit: int
    ) -> None:
        for key in keys:
            await driver.enqueue([record(f"{key}{n}", fair=key) for n in range(6)])
        order = ""
        while claims := await claim(driver, limit=limit):
            order += "".join(one.id[0] for one in claims)
        rounds = [order[n : n + len(keys)] for n in range(0, len(order), len(keys))]
        assert [set(each) for each in rounds] == [set(keys)] * 6 or not driver.fifo

    @needs("acquire")
    async def test_those_without_a_key_who_come_later_have_a_turn(self, driver: Driver) -> None:
        await driver.enqueue([record(f"a{n}", fair="a") for n in range(6)])
        await driver.enqueue([record("p0")])
        assert "p0" in ids(await claim(driver, limit=2)) or not driver.fifo
        await driver.enqueue([record("p1")])
        assert "p1" in ids(await claim(driver, limit=2)) or not driver.fifo

    @needs("acquire")
    @pytest.mark.parametrize("key", [None, "a"])
    async def test_of_a_key_the_first_to_be_due_comes_first(
        self, driver: Driver, clock: Clock, key: str | None
    ) -> None:
        await driver.enqueue([record("b0", fair="b"), record("late", fair=key, delay=10)])
        clock.advance(5)
        await driver.enqueue([record("early", fair=key)])
        clock.advance(10)
        order = [(await claim_one(driver)).id for _ in range(3)]
        assert order.index("early") < order.index("late") or not driver.fifo

    @needs("acquire")
    async def test_who_has_others_behind_it_keeps_its_turn(self, driver: Driver) -> None:
        for key in "ab":
            await driver.enqueue([record(f"{key}{n}", fair=key) for n in range(2)])
        first = (await claim_one(driver)).id[0]
        other = "ab"[first == "a"]
        await driver.enqueue([record(f"{other}2", fair=other)])
        assert (await claim_one(driver)).id[0] == other or not driver.fifo

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
    async def test_a_flood_without_a_key_does_not_hold_up_others(self, driver: Driver) -> None:
        await driver.enqueue([record(f"p{n}") for n in range(20)])
        await driver.enqueue(
            [record("a0", fair="a"), record("a1", fair="a"), record("b0", fair="b")]
        )
        order = [(await claim_one(driver)).id for _ in range(6)]
        if driver.fifo:
            assert sorted(order) == ["a0", "a1", "b0", "p0", "p1", "p2"]
            assert sorted(order[:3]) == ["a0", "b0", "p0"]

    @needs("acquire")
    async def test_who_becomes_due_stands_by_its_time(self, driver: Driver, clock: Clock) -> None:
        for key in (None, "a"):
            name = key or "p"
            jobs = [record(f"{name}0", fair=key), record(f"{name}1", fair=key)]
            await driver.enqueue([*jobs, record(f"{name}2", fair=key, delay=5)])
        clock.advance(10)
        await driver.enqueue([record("p3"), record("a3", fair="a")])
        order = [(await claim_one(driver)).id for _ in range(8)]
        for name in "pa":
            own = [one for one in order if one[0] == name]
            assert own == [f"{name}0", f"{name}1", f"{name}2", f"{name}3"] or not driver.fifo

    @needs("acquire")
    @pytest.mark.parametrize("key", [None, "a"])
    async def test_who_comes_back_goes_before_others_of_its_key(
        self, driver: Driver, clock: Clock, key: str | None
    ) -> None:
        await driver.enqueue([record("b", fair="b")])
        await driver.enqueue([record("first", fair=key)])
        claims = {one.id: one for one in await claim(driver, limit=2)}
        await driver.enqueue([record("c", fair="c"), record("second", fair=key)])
        clock.advance(1)
        await end(driver, claims["first"], State.PENDING)
        order = [(await claim_one(driver)).id for _ in range(3)]
        assert order.index("first") < order.index("second") or not driver.fifo

    @needs("acquire")
    async def test_a_turn_comes_as_soon_as_somebody_is_due(
        self, driver: Driver, clock: Clock
    ) -> None:
        """However many are due without a key, and have been for longer."""
        await driver.enqueue([record(f"p{n}") for n in range(20)])
        await driver.enqueue([record(f"d{n}", delay=1) for n in range(20)])
        await driver.enqueue([record("a0", fair="a", delay=5)])
        if driver.fifo:
            assert ids(await claim(driver, limit=2)) == ["p0", "p1"]
        clock.advance(10)
        if driver.fifo:
            assert "a0" in ids(await claim(driver, limit=2))

    @needs("acquire")
    async def test_turns_wait_for_those_who_are_not_due(self, driver: Driver, clock: Clock) -> None:
        """Also where nobody was there when somebody asked meanwhile."""
        await driver.enqueue([record(f"p{n}", delay=5) for n in range(4)])
        await driver.enqueue([record(f"a{n}", fair="a", delay=6) for n in range(2)])
        assert await claim(driver) == []
        clock.advance(10)
        order = "".join([(await claim_one(driver)).id[0] for _ in range(6)])
        assert sorted(order[:4]) == ["a", "a", "p", "p"] or not driver.fifo

    @needs("acquire", "cancel", "delete", "counts")
    async def test_who_became_due_among_turns_can_be_removed(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record(f"p{n}", delay=1) for n in range(4)])
        await driver.enqueue([record(f"a{n}", fair="a", delay=1) for n in range(4)])
        clock.advance(2)
        claims = await claim(driver, limit=2)
        left = [job.id for job in (await driver.find(Filter(source=Q, states=WAITING))).items]
        assert len(left) == 6
        gone = left[::2]
        await driver.cancel(Filter(ids=(gone[0],)), 3600)
        await driver.delete(Filter(ids=tuple(gone[1:])))
        assert (await driver.counts())["q"].pending == 3
        rest = ids(await claim(driver))
        assert sorted(rest) == sorted(left[1::2])
        assert {one.id for one in claims}.isdisjoint(rest)
        assert (await driver.counts())["q"].pending == 0

    @needs("acquire", "counts")
    async def test_whoever_waited_longest_is_told(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("a0", fair="a")])
        clock.advance(5)
        await driver.enqueue([record("b0", fair="b"), record("p0")])
        clock.advance(5)
        assert (await driver.counts())["q"].oldest_seconds == pytest.approx(10, abs=0.01)

    @needs("acquire")
    async def test_those_that_are_not_due_have_none(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("last", fair="c", delay=90)])
        await driver.enqueue([record("later", fair="a", delay=60), record("now", fair="b")])
        for source in (Q, lane("q", 0, 5)):
            claimed = await driver.claim([source], 10, LEASE, "w1")
            assert claimed.due_in == pytest.approx(60, abs=0.01)
        assert await state_of(driver, "now") is State.PROCESSING
        clock.advance(61)
        assert ids(await claim(driver)) == ["later"]

    @needs("acquire")
    async def test_those_that_are_not_due_keep_nobody_from_going_on(self, driver: Driver) -> None:
        await driver.enqueue([record("later", fair="a", delay=60)])
        await driver.enqueue([record(f"b{n}", fair="b") for n in range(5)])
        assert len(await claim(driver, limit=5)) == 5

    @needs("acquire")
    async def test_keys_of_which_nobody_is_left_are_in_nobodys_way(self, driver: Driver) -> None:
        await driver.enqueue([record(f"{n}", fair=f"key {n}") for n in range(20)])
        assert len(await claim(driver)) == 20
        await driver.enqueue([record("next", fair="another"), record("again", fair="key 3")])
        got = [(await claim_one(driver)).id for _ in range(2)]
        assert sorted(got) == ["again", "next"]

    @needs("acquire", "cancel")
    async def test_turns_of_names_with_colons_are_kept_apart(self, driver: Driver) -> None:
        await driver.enqueue([record(f"a{n}", fair="2:a") for n in range(3)])
        await driver.enqueue([record(f"b{n}", "q:1", priority=2, fair="a") for n in range(3)])
        await driver.cancel(Filter(ids=("a1", "b1")), 0)
        for source, key in ((Q, "a"), (lane("q:1"), "b")):
            got = [await claim_one(driver, source), await claim_one(driver, source)]
            assert sorted(ids(got)) == [f"{key}0", f"{key}2"]

    @needs("acquire")
    async def test_limits_hold_for_them(self, driver: Driver) -> None:
        one = (Limited("one", 1),)
        await driver.enqueue([record(f"a{n}", fair="a", limits=one) for n in range(3)])
        await driver.enqueue([record(f"b{n}", fair="b") for n in range(3)])
        order = ids(await claim(driver))
        assert sorted(order) == ["a0", "b0", "b1", "b2"]
        assert await driver.count(Filter(source=Q, states=WAITING)) == 2

    @needs("acquire", "sweep", "requeue", "latches")
    @pytest.mark.parametrize(
        "way", ["handed back", "retried", "crashed", "requeued", "let go of", "given a permit"]
    )
    async def test_who_comes_back_takes_turns_again(
        self, driver: Driver, clock: Clock, way: str
    ) -> None:
        jobs = [record(f"{key}{n}", fair=key) for key in "ab" for n in range(3)]
        await RETURNS[way](driver, clock, jobs)
        order = "".join([(await claim_one(driver)).id[0] for _ in jobs])
        if driver.fifo:
            assert [set(order[n : n + 2]) for n in (0, 2, 4)] == [{"a", "b"}] * 3, order

    @needs("acquire")
    async def test_they_are_listed_in_the_order_of_their_call(self, driver: Driver) -> None:
        """Those with a fair key and those without, wherever they are stored."""
        names = [f"{n}" for n in range(12)]
        await driver.enqueue(
            [record(name, fair="ab"[n % 3 : n % 3 + 1] or None) for n, name in enumerate(names)]
        )
        assert ids((await driver.find(Filter())).items) == names[::-1]
        assert sorted(ids(await claim(driver))) == sorted(names)

    @needs("acquire", "cancel", "counts")
    async def test_they_are_counted_and_cancelled_as_any(self, driver: Driver) -> None:
        await driver.enqueue([record(f"p{n}") for n in range(3)])
        await driver.enqueue([record(f"a{n}", fair="a") for n in range(3)])
        await driver.cancel(Filter(ids=("a0", "a1", "p1")), 3600)
        assert (await driver.counts())["q"].pending == 3
        assert sorted(ids(await claim(driver))) == ["a2", "p0", "p2"]
        assert await claim(driver) == []


async def _handed_back(driver: Driver, _: Clock, jobs: list[Record]) -> None:
    await _ended(driver, jobs, State.PENDING)


async def _retried(driver: Driver, _: Clock, jobs: list[Record]) -> None:
    await _ended(driver, jobs, State.DELAYED)


async def _crashed(driver: Driver, clock: Clock, jobs: list[Record]) -> None:
    await driver.enqueue(jobs)
    await claim(driver)
    clock.advance(LEASE + 1)
    assert await driver.sweep() == len(jobs)


async def _requeued(driver: Driver, _: Clock, jobs: list[Record]) -> None:
    await _ended(driver, jobs, State.FAILED)
    assert len(await driver.requeue(Filter(source=Q))) == len(jobs)


async def _let_go_of(driver: Driver, _: Clock, jobs: list[Record]) -> None:
    held = [replace(job, latch="b", held=On.SUCCESS) for job in jobs]
    member = record("member", latch="b")
    await driver.enqueue([member, *held], latches=[Latch("b", b"", retention=60)])
    only = await claim_one(driver)
    await driver.settle([settlement(only, State.COMPLETED)])


async def _given_a_permit(driver: Driver, _: Clock, jobs: list[Record]) -> None:
    limit = Limited("all", len(jobs))
    for holder in range(limit.most):
        assert await driver.acquire(limit.key, f"h{holder}", limit.most, 60) == 0
    await driver.enqueue([replace(job, limits=(limit,)) for job in jobs])
    assert await claim(driver) == []
    assert await driver.release(limit.key) == limit.most


async def _ended(driver: Driver, jobs: list[Record], state: State) -> None:
    await driver.enqueue(jobs)
    for one in await claim(driver):
        await end(driver, one, state)


RETURNS: Final = {
    "handed back": _handed_back,
    "retried": _retried,
    "crashed": _crashed,
    "requeued": _requeued,
    "let go of": _let_go_of,
    "given a permit": _given_a_permit,
}
"""How jobs come to wait that did not, or not in their line."""
