"""Rules of handles: opening, closing, and several of them on one store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncqueue.record import Extension, Filter, Hold, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Rules,
    claim,
    claim_one,
    end,
    enqueue_and_claim,
    ids,
    needs,
    proves,
    record,
    records,
    run_to,
    state_of,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver


class HandleRules(Rules):
    """A handle may come and go; the store stays."""

    async def test_an_open_driver_answers(self, driver: Driver) -> None:
        await driver.ping()

    @proves("DRV-16")
    async def test_opening_and_closing_twice_is_harmless(self, driver: Driver) -> None:
        await driver.enqueue(records("a"))
        await driver.open()
        assert ids(await claim(driver)) == ["a"]
        await driver.close()
        await driver.close()
        await driver.open()
        assert await state_of(driver, "a") == State.PROCESSING

    @proves("DRV-03", "DRV-26")
    async def test_a_driver_that_was_closed_can_be_opened_again(self, driver: Driver) -> None:
        """Everything is still there."""
        await driver.enqueue([record("a"), record("b", key="k"), record("c", delay=60)])
        held = await claim_one(driver)
        await run_to(driver, "x", State.FAILED, "elsewhere")
        await driver.close()
        await driver.open()
        assert ids((await driver.find(Filter())).items) == ["x", "c", "b", "a"]
        assert await driver.enqueue([record("d", key="k")]) == ["b"]
        await end(driver, held, State.COMPLETED)
        assert {held.id, (await claim_one(driver)).id} == {"a", "b"}

    @needs("pause")
    async def test_a_pause_outlives_the_handle(self, driver: Driver) -> None:
        """Contract, ``queue.pause``."""
        await driver.pause(["q"], on=True)
        await driver.close()
        await driver.open()
        assert await driver.paused() == ["q"]

    @proves("DRV-07")
    async def test_two_handles_see_one_store(self, driver: Driver, other: Driver) -> None:
        await driver.enqueue(records("a", "b"))
        got = await claim_one(other)
        assert await state_of(driver, got.id) == State.PROCESSING
        await end(driver, got, State.COMPLETED)
        assert await state_of(other, got.id) == State.COMPLETED
        assert {got.id, *ids(await claim(driver))} == {"a", "b"}
        assert await claim(other) == []

    async def test_closing_one_handle_leaves_the_other_alone(
        self, driver: Driver, other: Driver
    ) -> None:
        await other.enqueue(records("a"))
        await other.close()
        assert ids(await claim(driver)) == ["a"]

    @needs("clone", "extend")
    async def test_a_second_handle_works_in_another_thread(self, driver: Driver) -> None:
        """Leases are renewed from a side thread while the event loop is blocked."""
        got = await enqueue_and_claim(driver)

        async def renew() -> list[Hold]:
            other = self.second_handle(driver)
            await other.open()
            try:
                return await other.extend([Extension("a", got.token, 50)], LEASE)
            finally:
                await other.close()

        answers = await asyncio.gather(
            *(asyncio.to_thread(asyncio.run, renew()) for _ in range(3)),
            *(driver.enqueue([record(f"{n}")]) for n in range(50)),
        )
        assert answers[:3] == [[Hold.HELD]] * 3
        assert len(await claim(driver)) == 50
