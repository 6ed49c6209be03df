"""Rules of uniqueness keys: who holds one, and for how long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import FINISHED, WAITING, Filter, Source, State
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
    proves,
    record,
    state_of,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock


class KeyRules(Rules):
    """While a live job holds a key, a second record with it stores nothing."""

    @proves("DRV-14", "UNQ-01")
    async def test_a_second_record_with_a_held_key_answers_the_holder(self, driver: Driver) -> None:
        assert await driver.enqueue([record("a", key="k")]) == [None]
        assert await driver.enqueue([record("b", "elsewhere", key="k")]) == ["a"]
        assert await state_of(driver, "b") is None
        assert await driver.count(Filter()) == 1

    @proves("DRV-14")
    async def test_keys_given_twice_in_one_call_count(self, driver: Driver) -> None:
        jobs = [record("a", key="k"), record("b"), record("c", key="k"), record("d", key="other")]
        assert await driver.enqueue(jobs) == [None, None, "a", None]
        assert ids(await claim(driver)) == ["a", "b", "d"]

    @proves("DRV-14")
    async def test_a_known_id_is_answered_before_a_held_key(self, driver: Driver) -> None:
        await driver.enqueue([record("a", key="k"), record("b")])
        assert await driver.enqueue([record("b", key="k")]) == ["b"]

    @proves("DRV-14")
    async def test_a_duplicate_id_takes_no_key(self, driver: Driver) -> None:
        await driver.enqueue([record("a")])
        assert await driver.enqueue([record("a", key="k"), record("b", key="k")]) == ["a", None]

    @proves("UNQ-02")
    async def test_a_key_is_held_while_the_job_is_processed(self, driver: Driver) -> None:
        await driver.enqueue([record("a", key="k")])
        await claim_one(driver)
        assert await driver.enqueue([record("b", key="k")]) == ["a"]

    @proves("UNQ-02")
    @pytest.mark.parametrize("state", FINISHED)
    @pytest.mark.parametrize("attempts", [1, 2])
    async def test_a_key_is_free_when_its_job_is_finished(
        self, driver: Driver, state: State, attempts: int
    ) -> None:
        await driver.enqueue([record("a", key="k")])
        for _ in range(attempts - 1):
            await end(driver, await claim_one(driver), State.DELAYED)
        await end(driver, await claim_one(driver), state)
        assert await driver.enqueue([record("b", key="k")]) == [None]

    @proves("UNQ-05")
    @pytest.mark.parametrize("state", WAITING)
    async def test_a_key_is_held_between_attempts(self, driver: Driver, state: State) -> None:
        await driver.enqueue([record("a", key="k")])
        await end(driver, await claim_one(driver), state)
        assert await driver.enqueue([record("b", key="k")]) == ["a"]

    @proves("UNQ-05")
    @needs("sweep")
    async def test_a_key_is_held_over_a_crash(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("a", key="k")])
        await claim_one(driver)
        clock.advance(LEASE)
        assert await driver.sweep() == 1
        assert await driver.enqueue([record("b", key="k")]) == ["a"]

    @proves("UNQ-04")
    @pytest.mark.parametrize("source", [Q, lane("q", low=1)], ids=["queue", "lane"])
    async def test_a_key_until_claimed_is_free_once_the_job_runs(
        self, driver: Driver, source: Source
    ) -> None:
        await driver.enqueue([record("a", key="k", key_until_claimed=True)])
        assert await driver.enqueue([record("b", key="k")]) == ["a"]
        await claim_one(driver, source)
        assert await driver.enqueue([record("b", key="k")]) == [None]

    @proves("UNQ-04")
    async def test_a_key_until_claimed_is_not_taken_back_by_a_retry(self, driver: Driver) -> None:
        await driver.enqueue([record("a", key="k", key_until_claimed=True)])
        await end(driver, await claim_one(driver), State.PENDING)
        assert await driver.enqueue([record("b", key="k")]) == [None]
        await end(driver, await claim_one(driver), State.COMPLETED)
        assert await driver.enqueue([record("c", key="k")]) == ["b"]

    @proves("UNQ-03")
    async def test_a_key_is_held_for_its_time_at_most(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("a", key="k", key_ttl=3600)])
        clock.advance(3599)
        assert await driver.enqueue([record("b", key="k")]) == ["a"]
        clock.advance(1)
        assert await driver.enqueue([record("b", key="k", key_ttl=3600)]) == [None]
        assert await driver.enqueue([record("c", key="k")]) == ["b"]

    @proves("UNQ-03")
    async def test_only_the_holder_frees_a_key(self, driver: Driver, clock: Clock) -> None:
        """The first job ends after its time with the key was over."""
        await driver.enqueue([record("a", key="k", key_ttl=10)])
        first = await claim_one(driver)
        clock.advance(10)
        await driver.enqueue([record("b", key="k")])
        await end(driver, first, State.COMPLETED)
        assert await driver.enqueue([record("c", key="k")]) == ["b"]

    @proves("UNQ-02")
    @needs("cancel")
    async def test_cancelling_a_waiting_job_frees_its_key(self, driver: Driver) -> None:
        await driver.enqueue([record("a", key="k")])
        await driver.cancel(Filter(ids=("a",)), 60)
        assert await driver.enqueue([record("b", key="k")]) == [None]

    @proves("UNQ-02")
    @needs("delete")
    async def test_deleting_a_waiting_job_frees_its_key(self, driver: Driver) -> None:
        await driver.enqueue([record("a", key="k")])
        await driver.delete(Filter(source=Q))
        assert await driver.enqueue([record("b", key="k")]) == [None]

    @proves("UNQ-02")
    @needs("requeue")
    async def test_a_requeued_job_comes_back_without_its_key(self, driver: Driver) -> None:
        """It lost it when it failed, and another job may have it by now."""
        await driver.enqueue([record("a", key="k")])
        await end(driver, await claim_one(driver), State.FAILED)
        assert await driver.enqueue([record("b", key="k")]) == [None]
        assert await driver.requeue(Filter(ids=("a",))) == ["a"]
        assert ids(await claim(driver)) == ["b", "a"]
        assert await driver.enqueue([record("c", key="k")]) == ["b"]

    @proves("DRV-14")
    async def test_many_with_one_key_store_one_job(self, driver: Driver, other: Driver) -> None:
        handles = enumerate([driver, other] * 10)
        answers = await asyncio.gather(
            *(handle.enqueue([record(f"{n}", key="k")]) for n, handle in handles)
        )
        (winner,) = await claim(driver)
        assert sorted(answers, key=str) == [[winner.id]] * 19 + [[None]]
