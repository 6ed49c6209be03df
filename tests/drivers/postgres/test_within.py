"""Jobs in a transaction of the caller: with its commit, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue.errors import DriverError, LeaseLost, TransactionUnsupported
from asyncqueue.record import State

from .acts import claim, ended, record, states

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.postgres import PostgresDriver

    from ...servers.schemas import Schema


@pytest.fixture
async def connection(postgres_schema: Schema) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_schema.dsn)
    yield connection
    await connection.close()


@pytest.mark.case("TXN-01", "TXN-03", "TXN-05")
async def test_a_commit_shows_the_job(driver: PostgresDriver, connection) -> None:
    """No earlier."""
    async with connection.transaction():
        assert await driver.enqueue([record("a"), record("b")], within=connection) == [None] * 2
        assert await claim(driver) == []
        assert connection.is_in_transaction()
    assert [job.id for job in await claim(driver)] == ["a", "b"]


@pytest.mark.case("TXN-02")
async def test_a_rollback_leaves_nothing(driver: PostgresDriver, connection) -> None:
    """The key and the id are free as before."""
    transaction = connection.transaction()
    await transaction.start()
    await driver.enqueue([record("a", key="k")], within=connection)
    await transaction.rollback()
    assert await states(driver) == {}
    assert await driver.enqueue([record("a", key="k")]) == [None]


async def test_a_savepoint_takes_its_jobs_along(driver: PostgresDriver, connection) -> None:
    async with connection.transaction():
        await driver.enqueue([record("a")], within=connection)
        inner = connection.transaction()
        await inner.start()
        await driver.enqueue([record("b")], within=connection)
        await inner.rollback()
        await driver.enqueue([record("c")], within=connection)
    assert set(await states(driver)) == {"a", "c"}


@pytest.mark.case("TXN-04")
async def test_no_further_table(
    driver: PostgresDriver, connection, postgres_schema: Schema
) -> None:
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1"
    before = await connection.fetch(tables, postgres_schema.name)
    async with connection.transaction():
        await driver.enqueue([record("a")], within=connection)
    assert await connection.fetch(tables, postgres_schema.name) == before
    rows = await connection.fetch(f"SELECT id FROM {postgres_schema.name}.jobs")
    assert [row["id"] for row in rows] == ["a"]


async def test_a_duplicate_is_answered(driver: PostgresDriver, connection) -> None:
    await driver.enqueue([record("a", key="k")])
    async with connection.transaction():
        given = [record("a"), record("b", key="k"), record("c")]
        assert await driver.enqueue(given, within=connection) == ["a", "a", None]
    assert set(await states(driver)) == {"a", "c"}


async def test_an_error_leaves_the_transaction_usable(
    driver: PostgresDriver, connection, postgres_schema: Schema
) -> None:
    """What the caller wrote before can still be committed."""
    name = postgres_schema.name
    async with connection.transaction():
        await connection.execute(f"CREATE TABLE {name}.orders (n int)")
        with pytest.raises(DriverError):
            await driver.enqueue([record("a\0b")], within=connection)
        await connection.execute(f"INSERT INTO {name}.orders VALUES (1)")
        await driver.enqueue([record("good")], within=connection)
    assert await connection.fetchval(f"SELECT n FROM {name}.orders") == 1
    assert set(await states(driver)) == {"good"}


async def test_a_connection_without_a_transaction_is_refused(driver, connection) -> None:
    with pytest.raises(TransactionUnsupported, match="in no transaction"):
        await driver.enqueue([record("a")], within=connection)
    assert await states(driver) == {}


async def test_a_connection_of_a_pool_will_do(driver, postgres_schema: Schema) -> None:
    async with (
        asyncpg.create_pool(postgres_schema.dsn, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        await driver.enqueue([record("a")], within=connection)
    assert set(await states(driver)) == {"a"}


async def test_another_database_is_refused(driver, postgres_schema: Schema) -> None:
    """It has no such tables."""
    connection = await asyncpg.connect(postgres_schema.dsn, database="template1")
    async with connection.transaction():
        with pytest.raises(DriverError):
            await driver.enqueue([record("a")], within=connection)
    await connection.close()


async def test_a_commit_of_the_caller_rings(driver: PostgresDriver, connection) -> None:
    with driver.watch(["queue:q"]) as watch:
        while not watch.rung:  # It listens.
            await watch.wait(1)
        async with connection.transaction():
            await driver.enqueue([record("a")], within=connection)
            watch.clear()
        await watch.wait(5)
        assert watch.rung


async def test_a_block_that_ends_its_own_transaction_settles_nothing(
    driver: PostgresDriver,
) -> None:
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    with pytest.raises(DriverError, match="ended inside its block"):
        async with driver.transaction(ended(held)) as connection:
            await connection.execute("COMMIT")
    assert await states(driver) == {"a": State.PROCESSING}
    async with driver.transaction(ended(held)) as connection, connection.transaction():
        await connection.execute("SELECT 1")
    assert await states(driver) == {"a": State.COMPLETED}
    with pytest.raises(LeaseLost):
        async with driver.transaction(ended(held)):
            pytest.fail("the claim was lost before the block")


async def test_a_borrowed_connection_is_of_no_use_after_the_block(driver: PostgresDriver) -> None:
    await driver.enqueue([record("a"), record("b")])
    first, second = await claim(driver)
    async with driver.transaction(ended(first)) as connection:
        await connection.execute("SET search_path = pg_catalog")
    with pytest.raises(asyncpg.InterfaceError):
        await connection.execute("SELECT 1")
    async with driver.transaction(ended(second)) as connection:
        assert await connection.fetchval("SHOW search_path") != "pg_catalog"


async def test_the_end_of_a_driver_ends_its_blocks(driver: PostgresDriver) -> None:
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    with pytest.raises(DriverError, match="closed before"):
        async with driver.transaction(ended(held)):
            await driver.close()
    await driver.open()
    assert await states(driver) == {"a": State.PROCESSING}
