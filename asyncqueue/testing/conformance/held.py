"""Rules of those held back that are removed, and of follow-ups that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError
from asyncqueue.record import Filter, Latch, State
from asyncqueue.testing.conformance.latches import (
    CALLS,
    callbacks,
    members,
    numbers,
    run,
    store,
    tally,
)
from asyncqueue.testing.conformance.rules import (
    Rules,
    claim_one,
    look,
    needs,
    record,
    settlement,
    state_of,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver


class HeldRules(Rules):
    """Who is held back can be removed, be it together with the members that it waits for."""

    @needs("latches", "cancel")
    async def test_one_that_is_cancelled_is_held_no_more(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        assert await driver.cancel(Filter(ids=("then",)), 3600) == {"then": State.DELAYED}
        then = await look(driver, "then")
        assert then is not None
        assert (then.state, then.held) == (State.CANCELLED, None)
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches", "delete")
    async def test_one_that_is_deleted_guards_nobody(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        assert await driver.delete(Filter(ids=("then",))) == 1
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches", "delete")
    async def test_one_may_be_deleted_together_with_its_last_member(self, driver: Driver) -> None:
        """Whoever goes first: the end of the member drops one of them and lets go of another."""
        await store(driver, [*CALLS, *members("a")])
        assert await driver.delete(Filter(ids=("a", "then", "finally"))) == 3
        assert [await state_of(driver, id) for id in ("a", "then", "finally")] == [None] * 3
        assert numbers(await tally(driver)) == (1, 0, 0, 0, 1)

    @needs("latches", "cancel")
    async def test_one_may_be_cancelled_together_with_its_last_member(self, driver: Driver) -> None:
        await store(driver, [*CALLS, *members("a")])
        await driver.cancel(Filter(ids=("a", "then", "finally")), 3600)
        assert await state_of(driver, "then") in (None, State.CANCELLED)
        assert await state_of(driver, "finally") is State.CANCELLED
        assert await callbacks(driver) == []
        assert numbers(await tally(driver)) == (1, 0, 0, 0, 1)


class RefusalRules(Rules):
    """A settlement whose follow-ups cannot be stored changes nothing."""

    @needs("latches")
    @pytest.mark.parametrize("latch", ["unknown", "b"])
    async def test_a_latch_that_cannot_be_joined(self, driver: Driver, latch: str) -> None:
        """It is unknown, or this very settlement opens it."""
        await store(driver, members("a"))
        claimed = await claim_one(driver)
        late = [record("fine"), record("late", latch=latch)]
        with pytest.raises(DriverError, match=latch):
            await driver.settle([settlement(claimed, State.COMPLETED, follow_ups=late)])
        assert await state_of(driver, "a") is State.PROCESSING
        assert await state_of(driver, "fine") is None
        assert numbers(await tally(driver)) == (1, 1, 0, 0, 0)

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
