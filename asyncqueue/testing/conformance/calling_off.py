"""Rules of latches that are called off, and of members that operators take out or put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.record import Counted, Filter, On, State
from asyncqueue.testing.conformance.members import (
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
    Q,
    Rules,
    claim,
    claim_one,
    ids,
    needs,
    settlement,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


class CallOffRules(Rules):
    """Members that will not run count as skipped; one that is requeued is counted anew."""

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

    @needs("latches", "call_off", "forget_latches")
    async def test_one_that_has_opened_is_not_called_off(
        self, driver: Driver, clock: Clock
    ) -> None:
        """Nor is one forgotten that is known no longer."""
        await store(driver, members("a"))
        await run(driver, State.COMPLETED)
        assert await driver.call_off(["b"]) == []
        assert not (await tally(driver)).called_off
        clock.advance(KEPT)
        assert await driver.forget_latches(["b"]) == 0

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
        assert ids((await driver.find(Filter(latch="b"))).items) == ["a", "c"]
        again = await claim_one(driver)
        assert (again.latch, again.called_off) == ("b", False)
        answer = await settle(driver, again, State.COMPLETED)
        assert (answer.opened, answer.broke) == (False, False)
        assert numbers(answer.tally) == (2, 0, 1, 0, 1)
        assert await callbacks(driver) == []
