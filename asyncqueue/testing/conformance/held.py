"""Rules of those that a latch holds back: when it lets go of them, and how they are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import Counted, Filter, On, State
from asyncqueue.testing.conformance.members import (
    CALLBACKS,
    CALLS,
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
    instant,
    look,
    needs,
    settlement,
    state_of,
)
from asyncqueue.testing.conformance.watching import rings

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


class HeldRules(Rules):
    """Who is held back waits for its reason, and for nothing else."""

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

    @needs("latches", "call_off")
    @pytest.mark.parametrize("called_off", [False, True])
    async def test_it_breaks_once(self, driver: Driver, called_off: bool) -> None:
        await store(driver, [*members("a", "c", "d"), *CALLS])
        claims = await claim(driver)
        if called_off:
            await driver.call_off(["b"])
        answers = [await settle(driver, one, State.FAILED) for one in claims]
        assert [answer.broke for answer in answers] == [not called_off, False, False]
        assert [answer.opened for answer in answers] == [False, False, True]
        assert await callbacks(driver) == ["catch"]
        assert await callbacks(driver) == ["finally"]

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
    @pytest.mark.parametrize("failing", [0, 1, 2])
    async def test_a_failure_and_the_end_in_one_call_let_go_of_both(
        self, driver: Driver, failing: int
    ) -> None:
        await store(driver, [*members("a", "c", "d"), *CALLS], breaks=False)
        claims = await claim(driver)
        states = [State.FAILED if n == failing else State.COMPLETED for n in range(3)]
        answers = await driver.settle(
            [settlement(one, state) for one, state in zip(claims, states, strict=True)]
        )
        counted = [answer for answer in answers if isinstance(answer, Counted)]
        assert [answer.opened for answer in counted] == [False, False, True]
        assert numbers(await tally(driver)) == (3, 0, 2, 1, 0)
        assert await callbacks(driver) == ["catch"]
        assert await callbacks(driver) == ["finally"]
        assert await state_of(driver, "then") is None

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

    @needs("latches", "requeue")
    async def test_a_requeued_guard_guards_no_more(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        await run(driver, State.COMPLETED)
        await end(driver, await claim_one(driver, CALLBACKS), State.FAILED)
        assert await driver.requeue(Filter(ids=("then",))) == ["then"]
        assert numbers(await tally(driver)) == (1, 0, 1, 0, 0)
        both = await claim(driver, CALLBACKS)
        assert sorted(ids(both)) == ["finally", "then"]
        for one in both:
            assert one.latch == "b"
            await end(driver, one, State.COMPLETED)

    @needs("latches", "requeue")
    async def test_a_guard_that_is_requeued_does_not_end_for_another(self, driver: Driver) -> None:
        await store(driver, [*members("a"), held("other", On.SUCCESS, guards=True), *CALLS])
        await run(driver, State.COMPLETED)
        both = {one.id: one for one in await claim(driver, CALLBACKS)}
        await end(driver, both["then"], State.FAILED)
        await driver.requeue(Filter(ids=("then",)))
        assert await callbacks(driver) == ["then"]
        assert await callbacks(driver) == []
        await end(driver, both["other"], State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches")
    async def test_a_catch_that_ended_early_does_not_end_it(self, driver: Driver) -> None:
        await store(driver, [*members("a", "c"), *CALLS], breaks=False)
        await run(driver, State.FAILED)
        assert await callbacks(driver) == ["catch"]
        assert await callbacks(driver) == []
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches")
    async def test_a_catch_that_comes_after_the_first_failure_is_dropped(
        self, driver: Driver
    ) -> None:
        await store(driver, members("a", "c", "d"), breaks=False)
        await run(driver, State.FAILED)
        assert await driver.enqueue([held("late", On.FAILURE)]) == [None]
        await run(driver, State.FAILED)
        assert await state_of(driver, "late") is State.DELAYED
        await run(driver, State.COMPLETED)
        assert await state_of(driver, "late") is None

    @needs("latches", "cancel")
    async def test_a_cancelled_guard_keeps_nobody_waiting(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        await run(driver, State.COMPLETED)
        await driver.cancel(Filter(ids=("then",)), 3600)
        assert await callbacks(driver) == ["finally"]

    @needs("latches", "watch", "cancel", "delete", "sweep")
    @pytest.mark.parametrize("way", ["settled", "cancelled", "deleted", "swept"])
    async def test_who_watches_their_queue_hears_of_those_let_go_of(
        self, driver: Driver, clock: Clock, way: str
    ) -> None:
        await store(driver, [*members("a"), held("finally", On.END)])
        which = Filter(ids=("a",))
        last = await claim_one(driver) if way in ("settled", "swept") else None
        if way == "swept":
            await driver.cancel(which, 60)
            clock.advance(LEASE)
        async with rings(driver, "queue:callbacks"):
            if way == "swept":
                await driver.sweep()
            elif last is not None:
                await settle(driver, last, State.COMPLETED)
            else:
                await (driver.cancel(which, 60) if way == "cancelled" else driver.delete(which))
        assert await callbacks(driver) == ["finally"]


class RemovedHeldRules(Rules):
    """Who is held back can be removed, be it together with the members that it waits for."""

    @needs("latches", "cancel")
    async def test_one_that_is_cancelled_is_held_no_more(
        self, driver: Driver, clock: Clock
    ) -> None:
        late = held("late", On.SUCCESS, delay=50)
        await store(driver, [*members("a"), *CALLS, late])
        stored = clock.time()
        clock.advance(5)
        await driver.cancel(Filter(ids=("late",)), 3600)
        told = await look(driver, "late")
        assert told is not None
        assert (told.created_at, told.available_at) == (instant(stored), instant(stored + 50))
        assert await driver.cancel(Filter(ids=("then",)), 3600) == {"then": State.DELAYED}
        then = await look(driver, "then")
        assert then is not None
        assert (then.state, then.held) == (State.CANCELLED, None)
        await run(driver, State.COMPLETED)
        assert await callbacks(driver) == ["finally"]

    @needs("latches", "cancel", "counts")
    async def test_one_that_is_cancelled_is_listed_though_nobody_was_in_its_queue(
        self, driver: Driver
    ) -> None:
        await store(driver, [*members("a"), *CALLS])
        await driver.cancel(Filter(ids=("then",)), 3600)
        cancelled = Filter(states=(State.CANCELLED,))
        assert ids((await driver.find(cancelled)).items) == ["then"]
        assert ids((await driver.find(cancelled, order="finished")).items) == ["then"]
        assert (await driver.counts())[CALLBACKS.queue].cancelled == 1

    @needs("latches", "cancel", "forget_latches")
    async def test_one_that_is_cancelled_outlives_its_latch(self, driver: Driver) -> None:
        await store(driver, [*members("a"), *CALLS])
        await driver.cancel(Filter(ids=("then",)), 3600)
        assert await driver.forget_latches(["b"]) == 1
        assert await state_of(driver, "then") is State.CANCELLED
        assert await state_of(driver, "finally") is None

    @needs("latches", "delete", "cancel")
    @pytest.mark.parametrize("verb", ["cancel", "delete"])
    @pytest.mark.parametrize("name", ["then", "catch"])
    async def test_one_that_goes_guards_nobody(self, driver: Driver, verb: str, name: str) -> None:
        await store(driver, [*members("a"), *CALLS])
        which = Filter(ids=(name,))
        await (driver.cancel(which, 60) if verb == "cancel" else driver.delete(which))
        await run(driver, State.COMPLETED if name == "then" else State.FAILED)
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
