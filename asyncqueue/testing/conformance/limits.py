"""Rules of jobs with limits: who waits for a permit, and who goes before them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from asyncqueue.record import WAITING, Filter, Limited, Source, State
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
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record
    from asyncqueue.testing.clock import Clock


TWO: Final = (Limited("two", 2),)
PER_MINUTE: Final = (Limited("calls", 2, per=60.0),)


def limited(
    *names: str, limits: tuple[Limited, ...] = TWO, queue: str = "q", priority: int = 1
) -> list[Record]:
    """Jobs that need permits."""
    return [record(name, queue, limits=limits, priority=priority) for name in names]


class LimitRules(Rules):
    """A job without a permit is passed over, and waits at no cost until there is one."""

    @needs("acquire")
    async def test_no_more_than_the_limit_are_processed(self, driver: Driver) -> None:
        await driver.enqueue(limited("a", "b", "c", "d"))
        first, second = await claim(driver)
        assert ids([first, second]) == ["a", "b"]
        assert await claim(driver) == []
        await end(driver, first, State.COMPLETED)
        assert ids(await claim(driver)) == ["c"]
        await end(driver, second, State.FAILED)
        assert ids(await claim(driver)) == ["d"]

    @needs("acquire")
    async def test_those_behind_are_claimed_instead(self, driver: Driver) -> None:
        await driver.enqueue([*limited("a", "b", "c", "d"), record("e"), record("f")])
        first = ids(await claim(driver, limit=3))
        rest = ids(await claim(driver))
        assert sorted(first + rest) == ["a", "b", "e", "f"]
        if driver.fifo:
            assert (first, rest) == (["a", "b", "e"], ["f"])

    @needs("acquire")
    async def test_they_still_wait_for_those_who_look(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue(limited("a", "b", "c", "d"))
        await claim(driver)
        clock.advance(5)
        assert await driver.count(Filter(source=Q, states=WAITING)) == 2
        counts = (await driver.counts())["q"]
        assert (counts.pending, counts.delayed, counts.processing) == (2, 0, 2)
        assert counts.oldest_seconds == pytest.approx(5, abs=0.01)
        job = await look(driver, "c")
        assert job is not None
        assert (job.state, job.limits) == (State.PENDING, TWO)
        found = await driver.find(Filter(states=(State.PENDING,)))
        assert ids(found.items) == ["d", "c"]

    @needs("acquire")
    async def test_they_come_in_their_order(self, driver: Driver) -> None:
        await driver.enqueue(limited("a", "b", "c", "d"))
        held = await claim(driver)
        await claim(driver)
        await driver.enqueue(limited("urgent", priority=9))
        for one in held:
            await end(driver, one, State.COMPLETED)
        assert ids(await claim(driver)) == ["urgent", "c"]

    @needs("acquire")
    async def test_those_behind_one_that_tried_and_was_deleted_keep_their_order(
        self, driver: Driver
    ) -> None:
        one = (Limited("one", 1),)
        await driver.enqueue(limited("first", "a", "b", "c", limits=one))
        first = await claim_one(driver)
        assert await claim(driver) == []
        await driver.enqueue(limited("urgent", limits=one, priority=9))
        await end(driver, first, State.COMPLETED)
        urgent = await claim_one(driver)
        assert await claim(driver) == []
        await driver.delete(Filter(ids=("a",)))
        await end(driver, urgent, State.COMPLETED)
        assert ids([first, urgent, *await claim(driver)]) == ["first", "urgent", "b"]

    @needs("acquire")
    async def test_what_is_due_comes_before_what_was_due_later(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record("early"), record("due", delay=20)])
        clock.advance(30)
        await driver.enqueue([*limited("a", "b"), record("late")])
        found = ids(await claim(driver, limit=3))
        if driver.fifo:
            assert found == ["early", "due", "a"]
        assert sorted(found + ids(await claim(driver))) == ["a", "b", "due", "early", "late"]

    @needs("acquire")
    @pytest.mark.parametrize("state", [State.DELAYED, State.PENDING])
    async def test_one_that_waits_again_gives_its_permit_back(
        self, driver: Driver, state: State
    ) -> None:
        await driver.enqueue(limited("a", "b", limits=(Limited("one", 1),)))
        first = await claim_one(driver)
        assert await claim(driver) == []
        await driver.settle([settlement(first, state, delay=100)])
        assert len(await claim(driver)) == 1

    @needs("acquire", "sweep")
    async def test_a_crash_gives_it_back(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue(limited("a", "b", limits=(Limited("one", 1),)))
        await claim_one(driver)
        assert await claim(driver) == []
        clock.advance(LEASE + 1)
        await driver.sweep()
        (again,) = await claim(driver)
        assert await claim(driver) == []
        await end(driver, again, State.COMPLETED)
        assert len(await claim(driver)) == 1

    @needs("acquire")
    async def test_keys_are_apart(self, driver: Driver) -> None:
        for tenant in "xyz":
            names = [f"{tenant}{n}" for n in range(3)]
            await driver.enqueue(limited(*names, limits=(Limited(tenant, 1),)))
        assert ids(await claim(driver)) == ["x0", "y0", "z0"]

    @needs("acquire")
    async def test_permits_of_names_with_colons_are_kept_apart(self, driver: Driver) -> None:
        wanted = {"l:one": "b:q", "l:one:b": "q"}
        for key, queue in wanted.items():
            assert await driver.acquire(key, "somebody", 1, 60) == 0
            names = [f"{queue}{n}" for n in range(3)]
            await driver.enqueue(limited(*names, limits=(Limited(key, 1),), queue=queue))
            assert await claim(driver, Source(queue)) == []
        for key, queue in reversed(wanted.items()):
            await driver.release(key)
            assert ids(await claim(driver, Source("b:q"), Q)) == [f"{queue}0"]
            counts = await driver.counts()
            assert counts[queue].pending == 2

    @needs("acquire")
    async def test_a_rate_is_never_exceeded_in_any_window(
        self, driver: Driver, clock: Clock
    ) -> None:
        names = [f"j{n:02}" for n in range(8)]
        await driver.enqueue(limited(*names, limits=PER_MINUTE))
        started: list[tuple[float, str]] = []

        async def start() -> None:
            for one in await claim(driver):
                started.append((clock.time(), one.id))
                await end(driver, one, State.COMPLETED)

        begin = clock.time()
        await start()
        clock.advance(30)
        await start()
        for _ in range(40):
            clock.advance(10)
            await start()
        assert [name for _, name in started] == names
        for at, _ in started:
            assert sum(at - 60 < other <= at for other, _ in started) <= 2
        assert started[-1][0] - begin <= 3 * 60 + 10

    @needs("acquire")
    async def test_a_claim_tells_when_there_will_be_a_permit(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(limited("a", "b", "c", limits=PER_MINUTE))
        claimed = await driver.claim([Q], 10, LEASE, "w1")
        assert ids(claimed.claims) == ["a", "b"]
        assert claimed.due_in == pytest.approx(60, abs=0.01)
        clock.advance(20)
        claimed = await driver.claim([Q], 10, LEASE, "w1")
        assert (claimed.claims, claimed.due_in) == ([], pytest.approx(40, abs=0.01))

    @needs("acquire")
    async def test_a_rate_counts_starts_whatever_becomes_of_them(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(limited("a", limits=(Limited("one", 1, per=60.0),)))
        again = settlement(await claim_one(driver), State.DELAYED)
        await driver.settle([again])
        assert await claim(driver) == []
        clock.advance(61)
        assert ids(await claim(driver)) == ["a"]

    @needs("acquire")
    async def test_each_start_of_one_job_counts(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue(limited("a", "b", limits=PER_MINUTE))
        for attempt in (1, 2):
            first = await claim_one(driver)
            assert (first.id, first.attempts) == ("a", attempt)
            await driver.settle([settlement(first, State.PENDING)])
        assert len(await driver.holders("calls")) == 2
        assert await claim(driver) == []
        clock.advance(61)
        assert ids(await claim(driver)) == ["a", "b"]

    @needs("acquire")
    async def test_several_limits_hold_all_at_once(self, driver: Driver, clock: Clock) -> None:
        both = (Limited("one", 1), Limited("calls", 2, per=60.0))
        await driver.enqueue(limited("a", "b", "c", limits=both))
        await end(driver, await claim_one(driver), State.COMPLETED)
        assert await driver.holders("one") == []
        second = await claim_one(driver)
        assert await claim(driver) == []
        await end(driver, second, State.COMPLETED)
        assert await claim(driver) == []
        clock.advance(61)
        assert ids(await claim(driver)) == ["c"]

    @needs("acquire")
    async def test_one_that_lacks_another_permit_keeps_nobody_from_trying(
        self, driver: Driver
    ) -> None:
        a, b = Limited("a:key", 1), Limited("b:key", 1)
        await driver.enqueue([*limited("first", limits=(a,)), *limited("second", limits=(b,))])
        first, second = await claim(driver)
        if first.id != "first":
            first, second = second, first
        await driver.enqueue([*limited("both", limits=(a, b)), *limited("one", limits=(a,))])
        assert await claim(driver) == []
        await end(driver, first, State.COMPLETED)
        one = await claim_one(driver)
        assert one.id == "one"
        await end(driver, second, State.COMPLETED)
        assert await claim(driver) == []
        await end(driver, one, State.COMPLETED)
        assert ids(await claim(driver)) == ["both"]

    @needs("acquire")
    async def test_their_holders_are_told(self, driver: Driver) -> None:
        await driver.enqueue(limited("a", "b", "c"))
        await claim(driver)
        permits = await driver.holders("two")
        assert sorted(permit.holder for permit in permits) == ["a", "b"]
        assert [permit.expires_in for permit in permits] == [None, None]

    @needs("acquire", "pause")
    async def test_a_paused_queue_keeps_no_other_from_its_turn(self, driver: Driver) -> None:
        one = (Limited("one", 1),)
        await driver.enqueue(limited("a", "b", limits=one))
        await driver.enqueue(limited("c", "d", limits=one, queue="r"))
        first = await claim_one(driver)
        assert await claim(driver, Source("r")) == []
        await driver.pause(["q"], on=True)
        await end(driver, first, State.COMPLETED)
        third = await claim_one(driver, Source("r"))
        assert third.id == "c"
        await end(driver, third, State.COMPLETED)
        assert ids(await claim(driver, Source("r"))) == ["d"]

    @needs("acquire", "cancel", "delete")
    async def test_one_that_goes_while_it_may_try_lets_another_try(self, driver: Driver) -> None:
        await driver.enqueue(limited("a", "b", "c", "d", limits=(Limited("one", 1),)))
        first = await claim_one(driver)
        assert await claim(driver) == []
        await end(driver, first, State.COMPLETED)
        await driver.cancel(Filter(ids=("b",)), 3600)
        third = await claim_one(driver)
        assert third.id == "c"
        assert await claim(driver) == []
        await driver.delete(Filter(ids=("d",)))
        await end(driver, third, State.COMPLETED)
        assert await claim(driver) == []
        assert await state_of(driver, "b") is State.CANCELLED

    @needs("acquire")
    async def test_many_that_wait_cost_the_others_nothing(self, driver: Driver) -> None:
        flood = [f"f{n}" for n in range(2500)]
        await driver.enqueue(limited(*flood, limits=(Limited("one", 1),)))
        await driver.enqueue([record("plain")])
        got: list[str] = []
        while "plain" not in got:
            claimed = await driver.claim([Q], 10, LEASE, "w1")
            got += ids(claimed.claims)
            if "plain" not in got:
                assert claimed.due_in == 0, "whoever waits now waits in vain"
        assert got == ["f0", "plain"]
        assert await claim(driver) == []

    @needs("acquire", "requeue")
    async def test_a_requeued_one_keeps_its_limits(self, driver: Driver) -> None:
        await driver.enqueue(limited("a", "b", limits=(Limited("one", 1),)))
        await end(driver, await claim_one(driver), State.FAILED)
        await claim_one(driver)
        await driver.requeue(Filter(ids=("a",)))
        assert await claim(driver) == []

    @needs("acquire")
    @pytest.mark.parametrize("given", [{"limits": TWO}, {"fair": "key"}], ids=["limit", "turns"])
    async def test_one_that_is_gone_leaves_no_token_to_its_successor(
        self, driver: Driver, given: dict[str, Any]
    ) -> None:
        """A frozen worker must not end a later job that was given the same id."""
        await driver.enqueue([record("a", **given)])
        stale = await claim_one(driver)
        await driver.settle([settlement(stale, State.COMPLETED, retention=0)])
        await driver.enqueue([record("a", **given)])
        fresh = await claim_one(driver)
        assert (fresh.token > stale.token, fresh.attempts) == (True, 1)
        assert await driver.settle([settlement(stale, State.COMPLETED)]) == [False]
        await end(driver, fresh, State.COMPLETED)

    @needs("acquire")
    async def test_a_key_until_claimed_is_free_once_one_takes_its_turn(
        self, driver: Driver
    ) -> None:
        await driver.enqueue([record("a", key="k", key_until_claimed=True, fair="x")])
        assert await driver.enqueue([record("b", key="k", fair="x")]) == ["a"]
        await claim_one(driver)
        assert await driver.enqueue([record("b", key="k", fair="x")]) == [None]

    @needs("acquire", "clone")
    async def test_many_queues_share_the_permits(self, driver: Driver, other: Driver) -> None:
        queues = [f"q{n}" for n in range(10)]
        for queue in queues:
            names = [f"{queue} {n}" for n in range(4)]
            await driver.enqueue(limited(*names, limits=(Limited("k", 5),), queue=queue))
        shares = await asyncio.gather(
            *(
                claim(handle, Source(queue))
                for handle, queue in zip([driver, other] * 5, queues, strict=True)
            )
        )
        assert sum(map(len, shares)) == 5

    @needs("acquire", "clone")
    async def test_two_handles_share_the_permits(self, driver: Driver, other: Driver) -> None:
        await driver.enqueue(limited(*(f"j{n}" for n in range(40)), limits=(Limited("k", 5),)))
        both = await asyncio.gather(
            *(
                claim(handle, limit=3, worker=f"w{n}")
                for n, handle in enumerate([driver, other] * 5)
            )
        )
        assert sum(map(len, both)) == 5
