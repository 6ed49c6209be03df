"""Rules of latches: what they count, when they open, and whom they hold back until then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError
from asyncqueue.record import Claim, Counted, Filter, Latch, On, Source, State, Tally
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Q,
    Rules,
    claim,
    claim_one,
    end,
    ids,
    look,
    needs,
    record,
    settlement,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record
    from asyncqueue.testing.clock import Clock

CALLBACKS = Source("callbacks")
KEPT = 100.0


def members(*names: str) -> list[Record]:
    """Members of the latch ``b``."""
    return [record(name, latch="b") for name in names]


def held(name: str, on: On, *, guards: bool = False, delay: float = 0.0) -> Record:
    """A job that the latch ``b`` holds back, of a queue of its own."""
    return record(name, CALLBACKS.queue, latch="b", held=on, guards=guards, delay=delay)


CALLS = [
    held("then", On.SUCCESS, guards=True),
    held("catch", On.FAILURE, guards=True),
    held("finally", On.END),
]


async def store(driver: Driver, records: Sequence[Record], *, breaks: bool = True) -> None:
    """Store these with a new latch ``b``."""
    latch = Latch("b", b"data", breaks=breaks, retention=KEPT)
    assert await driver.enqueue(records, latches=[latch]) == [None] * len(records)


async def tally(driver: Driver, id: str = "b") -> Tally:
    """What a latch that must be known has counted."""
    (only,) = await driver.latches([id])
    return only


async def settle(driver: Driver, claim: Claim, state: State, error: str | None = None) -> Counted:
    """Settle a claim of a member; answers what counts then."""
    (counted,) = await driver.settle([settlement(claim, state, error=error)])
    assert isinstance(counted, Counted)
    return counted


async def run(driver: Driver, *states: State, error: str | None = None) -> list[Counted]:
    """Claim as many members as there are states, and settle each so."""
    claims = await claim(driver, limit=len(states))
    assert len(claims) == len(states)
    return [
        await settle(driver, held, state, error if state is State.FAILED else None)
        for held, state in zip(claims, states, strict=True)
    ]


async def callbacks(driver: Driver) -> list[str]:
    """Claim, and complete, the jobs that were held back and can be claimed now."""
    claims = await claim(driver, CALLBACKS)
    for one in claims:
        await end(driver, one, State.COMPLETED)
    return ids(claims)


def numbers(told: Tally) -> tuple[int, int, int, int, int]:
    """Total, pending, completed, failed, skipped."""
    return told.total, told.pending, told.completed, told.failed, told.skipped


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
    async def test_success_lets_go_of_then_and_after_it_of_the_end(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c"), *CALLS])
        assert await callbacks(driver) == []
        await run(driver, State.COMPLETED, State.COMPLETED)
        assert await callbacks(driver) == ["then"]
        assert await callbacks(driver) == ["finally"]
        assert await callbacks(driver) == []
        assert await state_of(driver, "catch") is None

    @needs("latches")
    async def test_the_first_failure_lets_go_of_catch_and_calls_the_others_off(
        self, driver: Driver
    ) -> None:
        await store(driver, [*members("a", "c", "d"), *CALLS])
        (answer,) = await run(driver, State.FAILED, error="Boom: x")
        assert (answer.broke, answer.opened, answer.tally.called_off) == (True, False, True)
        others = await claim(driver)
        assert [one.called_off for one in others] == [True, True]
        assert [(await settle(driver, one, State.CANCELLED)).opened for one in others] == [
            False,
            True,
        ]
        assert numbers(await tally(driver)) == (3, 0, 0, 1, 2)
        assert await callbacks(driver) == ["catch"]
        assert await callbacks(driver) == ["finally"]
        assert await state_of(driver, "then") is None

    @needs("latches")
    async def test_the_end_waits_for_a_catch_that_still_runs(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c"), *CALLS], breaks=False)
        await run(driver, State.FAILED)
        catch = await claim_one(driver, CALLBACKS)
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == []
        await end(driver, catch, State.FAILED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches")
    async def test_a_latch_that_does_not_break_goes_on(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c", "d"), *CALLS], breaks=False)
        await run(driver, State.FAILED, error="first")
        rest = await claim(driver)
        assert [one.called_off for one in rest] == [False, False]
        await settle(driver, rest[0], State.FAILED, "second")
        assert (await settle(driver, rest[1], State.COMPLETED)).opened
        told = await tally(driver)
        assert (told.failed, told.error, told.called_off) == (2, "first", False)
        assert await callbacks(driver) == ["catch"]
        assert await callbacks(driver) == ["finally"]

    @needs("latches")
    async def test_those_held_for_other_reasons_wait_for_no_guard(self, driver: Driver) -> None:
        plain = held("next", On.SUCCESS)
        await store(driver, [*members("a"), *CALLS, plain])
        await run(driver, State.COMPLETED)
        then, following = await claim(driver, CALLBACKS)
        assert ids([then, following]) == ["then", "next"]
        await end(driver, then, State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches")
    async def test_without_guards_the_end_comes_with_the_last_member(self, driver: Driver) -> None:
        await store(driver, [*members("a"), held("finally", On.END)])
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches")
    async def test_a_delay_counts_from_when_it_is_let_go_of(
        self, driver: Driver, clock: Clock
    ) -> None:
        await store(driver, [*members("a"), held("next", On.SUCCESS, delay=50)])
        clock.advance(1000)
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == []
        clock.advance(51)
        assert await callbacks(driver) == ["next"]

    @needs("latches", "delete")
    async def test_what_is_held_back_is_seen_by_its_id_only(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        then = await look(driver, "then")
        assert then is not None
        assert (then.state, then.held, then.latch) == (State.DELAYED, On.SUCCESS, "b")
        assert ids((await driver.find(Filter())).items) == ["a"]
        assert await driver.count(Filter(source=CALLBACKS)) == 0
        assert (await driver.counts()).get("callbacks") is None
        assert await driver.delete(Filter(source=CALLBACKS)) == 0
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["then"]

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

    @needs("latches", "call_off")
    async def test_calling_off_skips_who_waits_and_spares_who_runs(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c"), *CALLS])
        running = await claim_one(driver)
        assert await driver.call_off(["b", "unknown"]) == ["b"]
        assert await driver.call_off(["b"]) == []
        assert (await tally(driver)).called_off
        (waiting,) = await claim(driver)
        assert waiting.called_off
        await settle(driver, waiting, State.CANCELLED)
        assert (await settle(driver, running, State.COMPLETED)).opened
        assert numbers(await tally(driver)) == (2, 0, 1, 0, 1)
        assert await callbacks(driver) == ["finally"]
        assert await driver.call_off(["b"]) == []

    @needs("latches", "call_off")
    async def test_members_that_join_one_called_off_are_called_off(self, driver: Driver) -> None:
        await store(driver, members("a"))
        await claim_one(driver)
        await driver.call_off(["b"])
        assert await driver.enqueue(members("c")) == [None]
        assert (await claim_one(driver)).called_off

    @needs("latches", "cancel")
    async def test_a_cancelled_member_counts_as_skipped(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c"), *CALLS])
        await driver.cancel(Filter(ids=("a",)), 3600)
        assert numbers(await tally(driver)) == (2, 1, 0, 0, 1)
        await driver.cancel(Filter(latch="b"), 0)
        assert numbers(await tally(driver)) == (2, 0, 0, 0, 2)
        assert await callbacks(driver) == ["finally"]

    @needs("latches", "delete")
    async def test_a_deleted_member_that_waits_counts_as_skipped(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c"), *CALLS])
        await run(driver, State.COMPLETED)
        assert await driver.delete(Filter(source=Q)) == 2
        assert numbers(await tally(driver)) == (2, 0, 1, 0, 1)
        assert await callbacks(driver) == ["finally"]

    @needs("latches", "cancel", "sweep")
    async def test_a_member_cancelled_while_it_ran_counts_once_it_ends(
        self, driver: Driver, clock: Clock
    ) -> None:
        await store(driver, [*members("a", "c"), held("finally", On.END)])
        first, _second = await claim(driver)
        await driver.cancel(Filter(latch="b"), 3600)
        assert numbers(await tally(driver)) == (2, 2, 0, 0, 0)
        (answer,) = await driver.settle([settlement(first, State.PENDING)])
        assert isinstance(answer, Counted)
        assert answer.tally.skipped == 1
        clock.advance(LEASE + 1)
        await driver.sweep()
        assert numbers(await tally(driver)) == (2, 0, 0, 0, 2)
        assert await callbacks(driver) == ["finally"]

    @needs("latches", "requeue")
    async def test_a_requeued_member_is_counted_anew_and_lets_go_of_nothing(
        self, driver: Driver
    ) -> None:
        await store(driver, [*members("a", "c"), *CALLS])
        await run(driver, State.FAILED)
        await settle(driver, await claim_one(driver), State.CANCELLED)
        assert await callbacks(driver) == ["catch"]
        assert await callbacks(driver) == ["finally"]
        assert await driver.requeue(Filter(ids=("a",))) == ["a"]
        assert numbers(await tally(driver)) == (2, 1, 0, 0, 1)
        again = await claim_one(driver)
        assert (again.latch, again.called_off) == ("b", False)
        answer = await settle(driver, again, State.COMPLETED)
        assert (answer.opened, answer.broke) == (False, False)
        assert numbers(answer.tally) == (2, 0, 1, 0, 1)
        assert await callbacks(driver) == []

    @needs("latches", "requeue")
    async def test_a_requeued_guard_guards_no_more(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        await run(driver, State.COMPLETED)
        await end(driver, await claim_one(driver, CALLBACKS), State.FAILED)
        assert await driver.requeue(Filter(ids=("then",))) == ["then"]
        both = await claim(driver, CALLBACKS)
        assert sorted(ids(both)) == ["finally", "then"]
        for one in both:
            assert one.latch == "b"
            await end(driver, one, State.COMPLETED)

    @needs("latches", "cancel")
    async def test_a_cancelled_guard_keeps_nobody_waiting(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        await run(driver, State.COMPLETED)
        await driver.cancel(Filter(ids=("then",)), 3600)
        assert await callbacks(driver) == ["finally"]

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

    @needs("latches", "forget_latches")
    async def test_a_forgotten_one_leaves_its_members_and_nobody_else(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        assert await driver.forget_latches(["b", "unknown"]) == 1
        assert await state_of(driver, "finally") is None
        assert list(
            await driver.settle([settlement(await claim_one(driver), State.COMPLETED)])
        ) == [True]
        assert await callbacks(driver) == []

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

    @needs("latches", "watch")
    async def test_who_watches_their_queue_hears_of_those_let_go_of(self, driver: Driver) -> None:
        await store(driver, [*members("a"), held("finally", On.END)])
        last = await claim_one(driver)
        with driver.watch(["queue:callbacks"]) as watch:
            watch.clear()
            await settle(driver, last, State.COMPLETED)
            await watch.wait(5)
            assert watch.rung


class FollowUpRules(Rules):
    """What follows a job is stored in the step that ends it, or not at all."""

    @needs("latches")
    async def test_a_follow_up_is_stored_with_the_settlement(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record("a")])
        first = await claim_one(driver)
        following = record("b", "elsewhere", priority=7, delay=30, max_attempts=9)
        done = settlement(first, State.COMPLETED, follow_ups=[following])
        assert list(await driver.settle([done])) == [True]
        assert await claim(driver, Source("elsewhere")) == []
        clock.advance(31)
        (second,) = await claim(driver, Source("elsewhere"))
        assert (second.id, second.priority, second.max_attempts) == ("b", 7, 9)

    @needs("latches")
    async def test_a_stale_settlement_stores_no_follow_up(self, driver: Driver) -> None:
        await driver.enqueue([record("a")])
        done = settlement(await claim_one(driver), State.COMPLETED, follow_ups=[record("b")])
        assert list(await driver.settle([done, done])) == [True, False]
        assert ids(await claim(driver)) == ["b"]
        stale = settlement(await _enqueued(driver, "c"), State.COMPLETED, follow_ups=[record("d")])
        stale.token -= 1
        assert list(await driver.settle([stale])) == [False]
        assert await state_of(driver, "d") is None

    @needs("latches")
    async def test_a_failure_may_have_a_follow_up(self, driver: Driver) -> None:
        failed = settlement(
            await _enqueued(driver, "a"), State.FAILED, error="x", follow_ups=[record("b")]
        )
        assert list(await driver.settle([failed])) == [True]
        assert ids(await claim(driver)) == ["b"]

    @needs("latches")
    async def test_a_latch_may_follow_with_its_members(self, driver: Driver) -> None:
        done = settlement(
            await _enqueued(driver, "a"),
            State.COMPLETED,
            follow_ups=[*members("m1", "m2"), held("next", On.SUCCESS)],
            latches=[Latch("b")],
        )
        assert list(await driver.settle([done])) == [True]
        await run(driver, State.COMPLETED, State.COMPLETED)
        assert await callbacks(driver) == ["next"]

    @needs("latches")
    async def test_a_member_may_have_a_follow_up(self, driver: Driver) -> None:
        await store(driver, members("a"))
        done = settlement(await claim_one(driver), State.COMPLETED, follow_ups=[record("b")])
        (counted,) = await driver.settle([done])
        assert isinstance(counted, Counted)
        assert ids(await claim(driver)) == ["b"]

    @needs("latches")
    async def test_each_of_many_has_its_own(self, driver: Driver) -> None:
        await driver.enqueue([record(f"a{n}") for n in range(30)])
        claims = await claim(driver)
        followed = [
            settlement(one, State.COMPLETED, follow_ups=[record(f"b{one.id}")])
            if n % 2
            else settlement(one, State.COMPLETED)
            for n, one in enumerate(claims)
        ]
        assert list(await driver.settle(followed)) == [True] * 30
        assert len(await claim(driver)) == 15

    @needs("latches", "watch")
    async def test_who_watches_its_queue_hears_of_a_follow_up(self, driver: Driver) -> None:
        done = settlement(
            await _enqueued(driver, "a"),
            State.COMPLETED,
            follow_ups=[record("b", "elsewhere")],
        )
        with driver.watch(["queue:elsewhere"]) as watch:
            watch.clear()
            await driver.settle([done])
            await watch.wait(5)
            assert watch.rung


class HistoryRules(Rules):
    """What settlements tell of their attempts is kept with the job."""

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


async def _enqueued(driver: Driver, id: str) -> Claim:
    assert await driver.enqueue([record(id)]) == [None]
    return await claim_one(driver)
