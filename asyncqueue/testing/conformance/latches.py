"""Rules of latches: what they count, who may join them, and how long they are known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError
from asyncqueue.record import Counted, Filter, Latch, On, State
from asyncqueue.testing.conformance.members import (
    CALLBACKS,
    CALLS,
    KEPT,
    callbacks,
    held,
    members,
    numbers,
    run,
    settle,
    store,
    tally,
)
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Rules,
    claim,
    claim_one,
    end,
    ids,
    needs,
    record,
    settlement,
    state_of,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Claim
    from asyncqueue.testing.clock import Clock


class LatchRules(Rules):
    """A latch counts its members down, once each, in the very step that ends them."""

    @needs("latches")
    async def test_members_are_counted_and_their_claims_name_the_latch(
        self, driver: Driver
    ) -> None:
        await store(driver, members("a", "c"))
        told = await tally(driver)
        assert (told.id, told.data, told.opened_at, told.called_off) == ("b", b"data", None, False)
        assert numbers(told) == (2, 2, 0, 0, 0)
        first = await claim_one(driver)
        assert (first.latch, first.called_off) == ("b", False)
        assert numbers(await tally(driver)) == (2, 2, 0, 0, 0)
        await driver.enqueue([record("plain")])
        plain = (await claim(driver))[-1]
        assert (plain.id, plain.latch, plain.called_off) == ("plain", None, False)

    @needs("latches")
    async def test_the_answer_to_a_settlement_is_what_counts_after_it(self, driver: Driver) -> None:
        await store(driver, members("a", "c", "d", "e"), breaks=False)
        done, failed = State.COMPLETED, State.FAILED
        answers = await run(driver, done, failed, done, done, error="Boom: x")
        assert [numbers(answer.tally) for answer in answers] == [
            (4, 3, 1, 0, 0),
            (4, 2, 1, 1, 0),
            (4, 1, 2, 1, 0),
            (4, 0, 3, 1, 0),
        ]
        assert [answer.opened for answer in answers] == [False, False, False, True]
        assert [answer.broke for answer in answers] == [False] * 4
        assert answers[-1].tally == await tally(driver)
        assert answers[-1].tally.error == "Boom: x"

    @needs("latches")
    async def test_several_members_settled_in_one_call_are_counted_one_by_one(
        self, driver: Driver
    ) -> None:
        await store(driver, [*members("a", "c", "d"), *CALLS])
        claims = await claim(driver)
        answers = await driver.settle([settlement(one, State.COMPLETED) for one in claims])
        counted = [answer for answer in answers if isinstance(answer, Counted)]
        assert [answer.tally.completed for answer in counted] == [1, 2, 3]
        assert [answer.opened for answer in counted] == [False, False, True]
        assert await callbacks(driver) == ["then"]

    @needs("latches")
    async def test_plain_settlements_in_the_same_call_are_answered_plainly(
        self, driver: Driver
    ) -> None:
        await store(driver, members("a"))
        await driver.enqueue([record("plain")])
        member, plain = await claim(driver)
        stale = settlement(plain, State.COMPLETED)
        stale.token -= 1
        counted, yes, no = await driver.settle(
            [settlement(member, State.COMPLETED), settlement(plain, State.COMPLETED), stale]
        )
        assert isinstance(counted, Counted)
        assert (yes, no) == (True, False)

    @needs("latches")
    @pytest.mark.parametrize("state", [State.PENDING, State.DELAYED])
    async def test_a_member_that_runs_again_is_not_counted(
        self, driver: Driver, state: State
    ) -> None:
        await store(driver, members("a"))
        (answer,) = await driver.settle([settlement(await claim_one(driver), state)])
        assert answer is True
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)

    @needs("latches")
    async def test_a_member_settled_twice_counts_once(self, driver: Driver) -> None:
        await store(driver, members("a", "c"))
        one = await claim_one(driver)
        await settle(driver, one, State.COMPLETED)
        assert list(await driver.settle([settlement(one, State.COMPLETED)])) == [False]
        both = [settlement(await claim_one(driver), State.COMPLETED)] * 2
        first, second = await driver.settle(both)
        assert isinstance(first, Counted)
        assert second is False
        assert numbers(await tally(driver)) == (2, 0, 2, 0, 0)

    @needs("latches", "sweep")
    async def test_a_member_whose_lease_ran_out_counts_for_its_last_claim_only(
        self, driver: Driver, clock: Clock
    ) -> None:
        await store(driver, members("a"))
        stale = await claim_one(driver)
        clock.advance(LEASE + 1)
        assert await driver.sweep() == 1
        anew = await claim_one(driver, worker="w2")
        assert list(await driver.settle([settlement(stale, State.COMPLETED)])) == [False]
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)
        assert (await settle(driver, anew, State.COMPLETED)).opened

    @needs("latches")
    async def test_members_are_found_by_their_latch(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c"), *CALLS])
        await driver.enqueue([record("plain")])
        await run(driver, State.COMPLETED)
        assert ids((await driver.find(Filter(latch="b"))).items) == ["c", "a"]
        assert await driver.count(Filter(latch="b", states=(State.COMPLETED,))) == 1
        found = (await driver.find(Filter(latch="b"), limit=1)).items
        assert (found[0].id, found[0].latch, found[0].held) == ("c", "b", None)
        assert ids((await driver.find(Filter(latch="unknown"))).items) == []

    @needs("latches")
    async def test_members_join_until_it_opens(self, driver: Driver) -> None:
        await store(driver, members("a"))
        loader = await claim_one(driver)
        assert await driver.enqueue([*members("c", "d"), record("plain")]) == [None] * 3
        assert numbers(await tally(driver)) == (3, 3, 0, 0, 0)
        assert not (await settle(driver, loader, State.COMPLETED)).opened
        await run(driver, State.COMPLETED, State.COMPLETED)
        with pytest.raises(DriverError, match="b"):
            await driver.enqueue([record("late"), *members("e")])
        assert await state_of(driver, "late") is None
        assert numbers(await tally(driver)) == (3, 0, 3, 0, 0)

    @needs("latches")
    async def test_a_duplicate_member_is_not_counted(self, driver: Driver) -> None:
        await driver.enqueue([record("a")])
        latch = Latch("b")
        assert await driver.enqueue(members("a", "c"), latches=[latch]) == ["a", None]
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)

    @needs("latches")
    async def test_a_member_given_twice_in_one_call_counts_once(self, driver: Driver) -> None:
        twice = [*members("a", "a"), held("next", On.SUCCESS), held("next", On.SUCCESS)]
        answers = await driver.enqueue(twice, latches=[Latch("b", b"")])
        assert answers == [None, "a", None, "next"]
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["next"]

    @needs("latches")
    async def test_an_unknown_latch_and_one_that_exists_are_refused(self, driver: Driver) -> None:
        with pytest.raises(DriverError, match="b"):
            await driver.enqueue([record("first"), *members("a")])
        await store(driver, members("a"))
        with pytest.raises(DriverError, match="b"):
            await driver.enqueue([record("first"), *members("c")], latches=[Latch("b")])
        assert await state_of(driver, "first") is None
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)

    @needs("latches")
    async def test_unknown_latches_are_left_out(self, driver: Driver) -> None:
        assert list(await driver.latches(["b"])) == []
        await store(driver, members("a"))
        await driver.enqueue([record("x", latch="c")], latches=[Latch("c")])
        assert [told.id for told in await driver.latches(["c", "unknown"])] == ["c"]
        assert sorted(told.id for told in await driver.latches()) == ["b", "c"]

    @needs("latches", "prune")
    async def test_it_is_known_until_its_retention_is_over(
        self, driver: Driver, clock: Clock
    ) -> None:
        await store(driver, members("a"))
        clock.advance(KEPT * 2)
        await driver.prune(1e9)
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)
        await run(driver, State.COMPLETED)
        clock.advance(KEPT - 1)
        await driver.prune(1e9)
        assert (await tally(driver)).opened_at is not None
        clock.advance(2)
        await driver.prune(1e9)
        assert list(await driver.latches(["b"])) == []

    @needs("latches", "prune")
    async def test_it_is_known_as_long_as_it_holds_somebody_back(
        self, driver: Driver, clock: Clock
    ) -> None:
        await store(driver, [*members("a"), *CALLS])
        await run(driver, State.COMPLETED)
        then = await claim_one(driver, CALLBACKS)
        clock.advance(KEPT + 1)
        await driver.prune(1e9)
        await end(driver, then, State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches")
    @pytest.mark.parametrize("guarded", [False, True])
    async def test_its_id_is_free_once_its_retention_is_over(
        self, driver: Driver, clock: Clock, guarded: bool
    ) -> None:
        """That counts from when it opened, and whether or not anybody cleaned up."""
        await store(driver, [*members("a"), *(CALLS[:1] if guarded else [])])
        await run(driver, State.COMPLETED)
        clock.advance(KEPT / 2)
        assert await callbacks(driver) == (["then"] if guarded else [])
        clock.advance(KEPT / 2)
        assert list(await driver.latches(["b"])) == []
        await store(driver, members("c"))
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)
        await run(driver, State.COMPLETED)
        assert numbers(await tally(driver)) == (1, 0, 1, 0, 0)

    @needs("latches", "forget_latches")
    async def test_a_forgotten_one_leaves_its_members_and_nobody_else(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        assert await driver.forget_latches(["b", "unknown"]) == 1
        assert await state_of(driver, "finally") is None
        assert list(
            await driver.settle([settlement(await claim_one(driver), State.COMPLETED)])
        ) == [True]
        assert await callbacks(driver) == []

    @needs("latches", "forget_latches", "prune", "sweep")
    async def test_a_forgotten_one_does_not_end_its_successor(
        self, driver: Driver, clock: Clock
    ) -> None:
        await store(driver, members("a"))
        await run(driver, State.COMPLETED)
        assert await driver.forget_latches(["b"]) == 1
        await store(driver, members("c"))
        clock.advance(KEPT + 1)
        await driver.sweep()
        await driver.prune(1e9)
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)

    @needs("latches", "clone")
    async def test_two_handles_count_as_one(self, driver: Driver, other: Driver) -> None:
        names = [f"m{n}" for n in range(40)]
        await store(driver, [*members(*names), *CALLS], breaks=False)
        mine, theirs = await claim(driver, limit=20), await claim(other, limit=20)
        assert len(mine) == len(theirs) == 20

        def ends(claims: list[Claim]) -> list[State]:
            return [State.FAILED if n % 3 == 0 else State.COMPLETED for n in range(len(claims))]

        async def settle_all(handle: Driver, claims: list[Claim]) -> int:
            opened = 0
            for one, state in zip(claims, ends(claims), strict=True):
                opened += (await settle(handle, one, state)).opened
            return opened

        opened = await asyncio.gather(settle_all(driver, mine), settle_all(other, theirs))
        assert sum(opened) == 1
        assert numbers(await tally(driver)) == (40, 0, 26, 14, 0)
        assert await callbacks(other) == ["catch"]
        assert await callbacks(driver) == ["finally"]
