"""The handler's own writes together with the end of its job."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError, LeaseLost
from asyncqueue.record import Extension, Hold, State
from tests.drivers.sqlite.acts import claim, ended, record, sql, states

if TYPE_CHECKING:
    from asyncqueue.drivers.sqlite import SqliteDriver
    from asyncqueue.record import Claim


@pytest.fixture
async def held(driver: SqliteDriver) -> Claim:
    sql(driver.path, "CREATE TABLE orders (id INTEGER)")
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    return held


async def test_commit(driver: SqliteDriver, held: Claim) -> None:
    """Contract, section 6: the writes and the completion, together."""
    with driver.watch(["job:a"]) as watch:
        async with driver.transaction(ended(held, result=b"done")) as connection:
            connection.execute("INSERT INTO orders VALUES (1)")
            assert await states(driver) == {"a": State.PROCESSING}
            watch.clear()
        await watch.wait(5)
        assert watch._event.is_set()
    assert await states(driver) == {"a": State.COMPLETED}
    assert sql(driver.path, "SELECT * FROM orders") == [(1,)]


async def test_an_error_rolls_back(driver: SqliteDriver, held: Claim) -> None:
    """Contract, section 6."""

    async def fail() -> None:
        async with driver.transaction(ended(held)) as connection:
            connection.execute("INSERT INTO orders VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await states(driver) == {"a": State.PROCESSING}
    assert sql(driver.path, "SELECT * FROM orders") == []
    assert await driver.settle([ended(held)]) == [True]


@pytest.mark.case("DRV-13")
async def test_a_lost_claim_does_not_begin(driver: SqliteDriver, held: Claim) -> None:
    """A worker that lost its lease changes nothing."""
    await driver.settle([ended(held, State.PENDING)])
    await claim(driver)
    with pytest.raises(LeaseLost, match="no longer held with token 1"):
        async with driver.transaction(ended(held)):
            pytest.fail("entered")
    assert await driver.extend([Extension("a", held.token + 1)], 30) == [Hold.HELD]


@pytest.mark.case("DRV-13")
async def test_a_claim_that_is_settled_inside_is_lost(driver: SqliteDriver, held: Claim) -> None:
    """Whatever way, the settlement is applied once or everything is undone."""

    async def be_overtaken() -> None:
        async with driver.transaction(ended(held)) as connection:
            connection.execute("INSERT INTO orders VALUES (1)")
            connection.execute("UPDATE jobs SET token = token + 1")

    with pytest.raises(LeaseLost):
        await be_overtaken()
    assert sql(driver.path, "SELECT * FROM orders") == []


async def test_committing_inside_is_an_error(driver: SqliteDriver, held: Claim) -> None:
    """The job would not be completed together with the writes."""
    with pytest.raises(DriverError, match="ended inside its block"):
        async with driver.transaction(ended(held)) as connection:
            connection.commit()
    assert await states(driver) == {"a": State.PROCESSING}


async def test_cancelling_the_wait_for_the_lock_leaves_no_lock(
    driver: SqliteDriver, held: Claim
) -> None:
    """What was opened in vain is closed."""
    other = sqlite3.connect(driver.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def enter() -> None:
        async with driver.transaction(ended(held)):
            pytest.fail("entered")

    entering = asyncio.create_task(enter())
    await asyncio.sleep(0.01)
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    assert entering.cancelled()
    other.execute("ROLLBACK")
    other.close()
    assert await driver.settle([ended(held)]) == [True]
