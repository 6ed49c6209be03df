"""Rules of what follows a job: stored in the step that ends it, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError
from asyncqueue.record import Counted, Filter, Latch, Limited, On, Source, State
from asyncqueue.testing.conformance.members import (
    callbacks,
    held,
    members,
    numbers,
    run,
    store,
    tally,
)
from asyncqueue.testing.conformance.rules import (
    Rules,
    claim,
    claim_one,
    enqueue_and_claim,
    ids,
    needs,
    record,
    settlement,
    state_of,
)
from asyncqueue.testing.conformance.watching import rings

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


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
        stale = settlement(
            await enqueue_and_claim(driver, "c"), State.COMPLETED, follow_ups=[record("d")]
        )
        stale.token -= 1
        assert list(await driver.settle([stale])) == [False]
        assert await state_of(driver, "d") is None

    @needs("latches")
    async def test_a_failure_may_have_a_follow_up(self, driver: Driver) -> None:
        failed = settlement(
            await enqueue_and_claim(driver, "a"), State.FAILED, error="x", follow_ups=[record("b")]
        )
        assert list(await driver.settle([failed])) == [True]
        assert ids(await claim(driver)) == ["b"]

    @needs("latches")
    async def test_a_latch_may_follow_with_its_members(self, driver: Driver) -> None:
        done = settlement(
            await enqueue_and_claim(driver, "a"),
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
    async def test_one_may_join_a_latch_whose_last_member_ends_in_the_same_call(
        self, driver: Driver
    ) -> None:
        """What stands first in a call comes first."""
        await store(driver, [*members("first", "last"), held("next", On.SUCCESS)])
        first, last = await claim(driver)
        joins = settlement(first, State.COMPLETED, follow_ups=members("late"))
        answers = await driver.settle([joins, settlement(last, State.COMPLETED)])
        assert [bool(answer) for answer in answers] == [True, True]
        assert numbers(await tally(driver)) == (3, 1, 2, 0, 0)
        assert await callbacks(driver) == []
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["next"]

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

    @needs("latches")
    @pytest.mark.parametrize("which", ["id", "key"])
    @pytest.mark.parametrize("linked", [False, True])
    async def test_what_ends_later_is_in_the_way(
        self, driver: Driver, which: str, linked: bool
    ) -> None:
        """And what ended before is not, in one and the same call."""
        if not driver.fifo:
            which = "id"  # A key is looked for only in the part of the store in which a job is.
        other = record("b", key="k", latch="l" if linked else None)
        await driver.enqueue([record("a"), other, record("c")], latches=[Latch("l")])
        first, gone, last = await claim(driver)
        ids = ["b", "b"] if which == "id" else ["one", "two"]
        one, two = (record(id, key=None if which == "id" else "k") for id in ids)
        answers = await driver.settle(
            [
                settlement(first, State.COMPLETED, follow_ups=[one]),
                settlement(gone, State.COMPLETED, retention=0),
                settlement(last, State.COMPLETED, follow_ups=[two]),
            ]
        )
        assert [bool(answer) for answer in answers] == [True, True, True]
        assert [job.id for job in (await driver.find(Filter(states=(State.PENDING,)))).items] == [
            two.id
        ]
        assert await state_of(driver, "a") is State.COMPLETED

    @needs("latches", "acquire")
    async def test_what_ended_before_is_not_in_the_way_with_a_limit(self, driver: Driver) -> None:
        limited = record("a", limits=[Limited("k", 1)])
        await driver.enqueue([limited, record("b"), record("c", limits=[Limited("k", 1)])])
        gone, last = await claim(driver)
        await driver.settle(
            [
                settlement(gone, State.COMPLETED, retention=0),
                settlement(last, State.COMPLETED, follow_ups=[record("a")]),
            ]
        )
        assert [claimed.id for claimed in await claim(driver)] == ["c", "a"]

    @needs("latches")
    async def test_what_its_latch_drops_is_not_in_the_way(self, driver: Driver) -> None:
        await store(driver, [*members("a"), held("then", On.SUCCESS)])
        done = settlement(
            await claim_one(driver), State.FAILED, error="x", follow_ups=[record("then")]
        )
        await driver.settle([done])
        assert await state_of(driver, "then") is State.PENDING

    @needs("latches")
    async def test_one_that_joins_after_the_first_failure_is_not_let_go_of(
        self, driver: Driver
    ) -> None:
        await store(driver, [*members("a", "b"), held("catch", On.FAILURE)])
        first = await claim_one(driver)
        late = held("late", On.FAILURE)
        await driver.settle([settlement(first, State.FAILED, error="x", follow_ups=[late])])
        assert await state_of(driver, "catch") is State.PENDING
        assert await state_of(driver, "late") is State.DELAYED

    @needs("latches", "watch")
    async def test_who_watches_its_queue_hears_of_a_follow_up(self, driver: Driver) -> None:
        done = settlement(
            await enqueue_and_claim(driver, "a"),
            State.COMPLETED,
            follow_ups=[record("b", "elsewhere")],
        )
        async with rings(driver, "queue:elsewhere"):
            await driver.settle([done])


class RefusalRules(Rules):
    """A settlement whose follow-ups cannot be stored changes nothing."""

    @needs("latches", "cancel")
    @pytest.mark.parametrize("latch", ["unknown", "b"])
    @pytest.mark.parametrize("state", [State.COMPLETED, State.DELAYED])
    async def test_a_latch_that_cannot_be_joined(
        self, driver: Driver, latch: str, state: State
    ) -> None:
        """It is unknown, or this very settlement opens it: what was called off ends, too."""
        await store(driver, members("first", "a"))
        await run(driver, State.FAILED)
        claimed = await claim_one(driver)
        if state is State.DELAYED:
            await driver.cancel(Filter(ids=("a",)), 60)
        late = [record("fine"), record("late", latch=latch)]
        with pytest.raises(DriverError, match=latch):
            await driver.settle([settlement(claimed, state, follow_ups=late)])
        assert await state_of(driver, "a") is State.PROCESSING
        assert await state_of(driver, "fine") is None
        assert numbers(await tally(driver)) == (2, 1, 0, 1, 0)

    @needs("latches")
    async def test_a_latch_that_exists(self, driver: Driver) -> None:
        await store(driver, members("a"))
        done = settlement(
            await claim_one(driver),
            State.COMPLETED,
            follow_ups=[record("next", latch="b")],
            latches=[Latch("b")],
        )
        with pytest.raises(DriverError, match="b"):
            await driver.settle([done])
        assert await state_of(driver, "a") is State.PROCESSING
        assert await state_of(driver, "next") is None
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)
