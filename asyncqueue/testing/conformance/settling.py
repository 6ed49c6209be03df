"""Rules of settling: a claim ends once, as its holder says, and stale words change nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from asyncqueue.record import Filter, Record, Settlement, Source, State
from asyncqueue.testing.conformance.rules import (
    Q,
    Rules,
    assert_fifo,
    claim,
    claim_one,
    end,
    enqueue_and_claim,
    ids,
    instant,
    lane,
    look,
    needs,
    proves,
    record,
    records,
    settlement,
    state_of,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock

ENDS: Final = (
    State.PENDING,
    State.DELAYED,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)


class SettleRules(Rules):
    """What becomes of a job when its claim ends."""

    @proves("DRV-11")
    async def test_nothing_to_settle_needs_nothing(self, driver: Driver) -> None:
        assert await driver.settle([]) == []

    @proves("MON-05", "DRV-06")
    async def test_a_completed_job_is_kept_with_its_result(
        self, driver: Driver, clock: Clock
    ) -> None:
        got = await enqueue_and_claim(driver)
        clock.advance(2)
        result = bytes(range(256))
        done = settlement(got, State.COMPLETED, result=result, retention=60)
        assert await driver.settle([done]) == [True]
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.state, stored.result, stored.progress) == (State.COMPLETED, result, 100)
        assert stored.finished_at == instant(clock.time())
        assert stored.started_at == instant(clock.time() - 2)
        assert await claim(driver) == []

    @proves("DRV-11", "DRV-25")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
    async def test_no_retention_removes_the_job_at_once(self, driver: Driver, state: State) -> None:
        await end(driver, await enqueue_and_claim(driver), state, retention=0)
        assert await look(driver, "a") is None
        assert await driver.count(Filter()) == 0
        assert await claim(driver) == []

    @proves("MON-10")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
    async def test_a_record_is_shown_until_its_retention_is_over(
        self, driver: Driver, clock: Clock, state: State
    ) -> None:
        """Hidden in time, whether or not anybody cleaned up."""
        await end(driver, await enqueue_and_claim(driver), state, retention=60)
        clock.advance(59)
        assert await state_of(driver, "a") == state
        clock.advance(1)
        assert await look(driver, "a") is None
        assert (await driver.find(Filter(), order="finished")).items == []
        assert await driver.count(Filter(states=(state,))) == 0
        counts = (await driver.counts()).get("q")
        assert counts is None or (counts.completed, counts.cancelled) == (0, 0)

    async def test_each_is_kept_for_as_long_as_it_says(self, driver: Driver, clock: Clock) -> None:
        times = {"a": 600.0, "b": 0.0, "c": 60.0}
        await driver.enqueue(records(*times))
        ends = [
            settlement(one, State.COMPLETED, retention=times[one.id]) for one in await claim(driver)
        ]
        assert await driver.settle(ends) == [True] * 3
        assert sorted(ids((await driver.find(Filter())).items)) == ["a", "c"]
        clock.advance(60)
        assert ids((await driver.find(Filter())).items) == ["a"]

    @proves("MON-16")
    async def test_a_cancelled_job_is_not_completed(self, driver: Driver) -> None:
        await end(driver, await enqueue_and_claim(driver), State.CANCELLED)
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.state, stored.progress) == (State.CANCELLED, None)
        assert await claim(driver) == []

    async def test_a_returned_job_is_at_the_front_at_once(
        self, driver: Driver, clock: Clock
    ) -> None:
        """Back to its old place, attempt given back."""
        await driver.enqueue(records("a", "b", "c"))
        first, second = await claim(driver, limit=2)
        clock.advance(5)
        await driver.enqueue([record("d"), record("high", priority=5)])
        back = [settlement(job, State.PENDING, attempts=0) for job in (second, first)]
        assert await driver.settle(back) == [True, True]
        again = await claim(driver)
        assert ids(again) == ["high", "a", "b", "c", "d"]
        assert [job.attempts for job in again] == [1] * 5

    @proves("RTY-20")
    async def test_a_retried_job_waits_for_its_delay(self, driver: Driver, clock: Clock) -> None:
        """Delayed in between, error kept."""
        got = await enqueue_and_claim(driver)
        retry = settlement(got, State.DELAYED, delay=30, error="boom", traceback="Trace 🐛")
        assert await driver.settle([retry]) == [True]
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.state, stored.error, stored.traceback) == (
            State.DELAYED,
            "boom",
            "Trace 🐛",
        )
        assert (stored.attempts, stored.finished_at, stored.worker) == (1, None, None)
        assert stored.available_at == instant(clock.time() + 30)
        clock.advance(29)
        assert await claim(driver) == []
        clock.advance(1)
        assert (await claim_one(driver)).attempts == 2

    @pytest.mark.parametrize("state", ENDS)
    @pytest.mark.parametrize("attempt", [None, b"an attempt"])
    @pytest.mark.parametrize("key", [None, "k"])
    async def test_the_last_attempt_takes_back_what_an_earlier_one_said(
        self, driver: Driver, state: State, attempt: bytes | None, key: str | None
    ) -> None:
        """Drivers may have several ways: with a key, or where attempts are told."""
        await driver.enqueue([record("a", key=key)])
        got = await claim_one(driver)
        retry = settlement(got, State.DELAYED, result=b"r", error="boom", traceback="Trace")
        assert await driver.settle([retry]) == [True]
        last = settlement(await claim_one(driver), state, attempt=attempt)
        assert await driver.settle([last]) == [True]
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.result, stored.error, stored.traceback) == (None, None, None)

    @proves("DSP-10")
    @pytest.mark.parametrize("delay", [0, -5])
    @pytest.mark.parametrize("key", [None, "k"])
    async def test_a_retry_without_delay_is_due_at_once(
        self, driver: Driver, clock: Clock, delay: float, key: str | None
    ) -> None:
        """And not earlier: it does not overtake those who are."""
        await driver.enqueue([record("a", key=key)])
        got = await claim_one(driver)
        clock.advance(1)
        assert await driver.settle([settlement(got, State.DELAYED, delay=delay)]) == [True]
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.state, stored.available_at) == (State.PENDING, instant(clock.time()))
        assert ids(await claim(driver)) == ["a"]

    @proves("PRI-01")
    async def test_a_retried_job_waits_behind_those_who_are_due_earlier(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(records("a", "b"))
        got = await claim_one(driver)
        await driver.settle([settlement(got, State.DELAYED, delay=10)])
        clock.advance(20)
        await driver.enqueue(records("c"))
        assert_fifo(driver, ids(await claim(driver)), ["b", "a", "c"])

    async def test_the_counts_of_a_settlement_are_kept(self, driver: Driver) -> None:
        """A snooze gives the attempt back; exceptions are counted apart."""
        first = await enqueue_and_claim(driver)
        await driver.settle([settlement(first, State.DELAYED, attempts=0, exceptions=0)])
        got = await claim_one(driver)
        assert (got.attempts, got.exceptions) == (1, 0)
        await driver.settle([settlement(got, State.DELAYED, attempts=1, exceptions=1)])
        got = await claim_one(driver)
        assert (got.attempts, got.exceptions) == (2, 1)
        assert got.token > first.token

    @proves("PRI-11")
    @pytest.mark.parametrize("state", [State.PENDING, State.DELAYED])
    async def test_the_priority_survives_a_retry(self, driver: Driver, state: State) -> None:
        await driver.enqueue([record("a", priority=10), record("b")])
        await end(driver, await claim_one(driver), state)
        assert [(job.id, job.priority) for job in await claim(driver)] == [("a", 10), ("b", 1)]

    @proves("DRV-13")
    @pytest.mark.parametrize("state", ENDS)
    async def test_a_claim_is_settled_once(self, driver: Driver, state: State) -> None:
        """The second time, in the same call or later, answers False."""
        got = await enqueue_and_claim(driver)
        twice = [settlement(got, state), settlement(got, State.COMPLETED, retention=0)]
        assert await driver.settle(twice) == [True, False]
        assert await driver.settle(twice) == [False, False]
        expected = State.PENDING if state == State.DELAYED else state
        assert await state_of(driver, "a") == expected

    @proves("DRV-13")
    @pytest.mark.parametrize("state", ENDS)
    async def test_a_stale_token_settles_nothing(self, driver: Driver, state: State) -> None:
        """The new owner's state is intact."""
        stale = await enqueue_and_claim(driver)
        await end(driver, stale, State.PENDING)
        fresh = await claim_one(driver, worker="w2")
        late = settlement(stale, state, delay=60, error="late", result=b"late", retention=0)
        before = await look(driver, "a")
        assert await driver.settle([late]) == [False]
        assert await look(driver, "a") == before
        assert await driver.settle([settlement(fresh, State.COMPLETED)]) == [True]

    @proves("DRV-13")
    @pytest.mark.parametrize("retention", [0, 3600])
    async def test_a_bare_completion_with_a_stale_token_changes_nothing(
        self, driver: Driver, retention: float
    ) -> None:
        """Drivers have a short way for what completed and returned nothing."""
        stale = await enqueue_and_claim(driver)
        await end(driver, stale, State.PENDING)
        fresh = await claim_one(driver, worker="w2")
        before = await look(driver, "a")
        late = settlement(stale, State.COMPLETED, retention=retention)
        assert await driver.settle([late]) == [False]
        assert await look(driver, "a") == before
        bare = settlement(fresh, State.COMPLETED, retention=retention)
        assert await driver.settle([late, bare]) == [False, True]
        assert await driver.settle([bare]) == [False]

    @proves("DRV-13")
    @pytest.mark.parametrize("source", [Q, lane("q", low=1)], ids=["queue", "lane"])
    async def test_a_removed_job_leaves_no_token_to_its_successor(
        self, driver: Driver, source: Source
    ) -> None:
        """A frozen worker must not end a later job that was given the same id."""
        await driver.enqueue(records("a"))
        stale = await claim_one(driver, source)
        await driver.settle([settlement(stale, State.COMPLETED, retention=0)])
        await driver.enqueue(records("a"))
        fresh = await claim_one(driver, source)
        assert fresh.token > stale.token
        assert await driver.settle([settlement(stale, State.COMPLETED)]) == [False]
        assert await driver.settle([settlement(fresh, State.COMPLETED)]) == [True]

    @proves("DRV-13")
    @pytest.mark.parametrize("state", ENDS)
    async def test_a_job_that_waits_cannot_be_settled(self, driver: Driver, state: State) -> None:
        got = await enqueue_and_claim(driver)
        await end(driver, got, State.PENDING)
        await driver.enqueue(records("never claimed"))
        never = Settlement("never claimed", 0, state, attempts=1)
        assert await driver.settle([settlement(got, state, error="late"), never]) == [False, False]
        assert ids(await claim(driver)) == ["a", "never claimed"]

    @proves("DRV-11")
    async def test_an_unknown_job_cannot_be_settled(self, driver: Driver) -> None:
        """Acknowledging nothing is a no-op."""
        assert await driver.settle([Settlement("x", 1, State.COMPLETED, attempts=1)]) == [False]
        assert await look(driver, "x") is None

    @proves("DRV-13")
    async def test_answers_come_in_the_order_of_the_settlements(self, driver: Driver) -> None:
        await driver.enqueue(records("a", "b", "c", "d"))
        a, b, c, d = await claim(driver)
        await end(driver, b, State.COMPLETED)
        many = [
            settlement(d, State.FAILED),
            settlement(b, State.COMPLETED),
            settlement(a, State.COMPLETED),
            Settlement("x", 1, State.COMPLETED, attempts=1),
            settlement(c, State.PENDING),
        ]
        assert await driver.settle(many) == [True, False, True, False, True]
        assert await state_of(driver, "d") == State.FAILED
        assert ids(await claim(driver)) == ["c"]

    @proves("DRV-13")
    async def test_of_many_settlements_at_once_one_counts(
        self, driver: Driver, other: Driver
    ) -> None:
        got = await enqueue_and_claim(driver)
        settle = (handle.settle([settlement(got, State.DELAYED)]) for handle in [driver, other] * 5)
        answers = await asyncio.gather(*settle)
        assert sorted(bool(held) for (held,) in answers) == [False] * 9 + [True]
        assert ids(await claim(driver)) == ["a"]

    @proves("DRV-15")
    async def test_many_may_settle_at_once(self, driver: Driver, other: Driver) -> None:
        await driver.enqueue([record(f"{n}") for n in range(100)])
        claims = await claim(driver)
        settle = (
            (driver, other)[n % 2].settle([settlement(job, State.COMPLETED)])
            for n, job in enumerate(claims)
        )
        assert await asyncio.gather(*settle) == [[True]] * 100
        assert (await driver.counts())["q"].completed == 100

    @proves("DRV-13")
    @needs("sweep")
    async def test_a_lease_that_ran_out_unnoticed_still_settles(
        self, driver: Driver, clock: Clock
    ) -> None:
        """Nobody else has the job, so nobody's state is at risk."""
        got = await enqueue_and_claim(driver)
        clock.advance(3600)
        assert await driver.settle([settlement(got, State.COMPLETED)]) == [True]
        assert await driver.sweep() == 0
        assert await state_of(driver, "a") == State.COMPLETED

    @proves("DRV-13")
    async def test_a_claim_cannot_be_settled_as_processing(self, driver: Driver) -> None:
        """Refused, and the others of the call are not settled by halves."""
        await driver.enqueue(records("a", "b"))
        a, b = await claim(driver)
        with pytest.raises(Exception, match=r"\S"):
            await driver.settle([settlement(a, State.COMPLETED), settlement(b, State.PROCESSING)])
        assert await driver.settle([settlement(b, State.COMPLETED)]) == [True]

    @proves("DRV-08")
    async def test_a_large_result_and_a_long_error_are_kept(self, driver: Driver) -> None:
        many: list[Record] = records("a", "b")
        await driver.enqueue(many)
        a, b = await claim(driver, Q)
        big = bytes(range(256)) * 4096
        await driver.settle(
            [
                settlement(a, State.COMPLETED, result=big),
                settlement(b, State.FAILED, error="é" * 100_000),
            ]
        )
        done, failed = await look(driver, "a"), await look(driver, "b")
        assert done is not None
        assert failed is not None
        assert done.result == big
        assert failed.error == "é" * 100_000
