"""Transactions of callers who use another library: the same promises as with asyncpg."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asyncqueue.errors import DriverError, TransactionUnsupported

from .acts import claim, record, sql, states

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres import PostgresDriver

    from ...servers.schemas import Schema


@contextlib.asynccontextmanager
async def psycopg_connection(dsn: str):
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield connection
        await connection.rollback()


@contextlib.asynccontextmanager
async def psycopg_dicts(dsn: str):
    """Its rows are something else than tuples."""
    async with await psycopg.AsyncConnection.connect(
        dsn, row_factory=psycopg.rows.dict_row
    ) as connection:
        yield connection
        await connection.rollback()


def through_sqlalchemy(driver: str, kind: str):
    @contextlib.asynccontextmanager
    async def connect(dsn: str):
        engine = create_async_engine(dsn.replace("postgresql://", f"postgresql+{driver}://"))
        async with AsyncSession(engine) if kind == "session" else engine.connect() as connection:
            yield connection
        await engine.dispose()

    return connect


GUESTS = {
    "psycopg": psycopg_connection,
    "psycopg with dicts": psycopg_dicts,
    "sqlalchemy session on asyncpg": through_sqlalchemy("asyncpg", "session"),
    "sqlalchemy connection on asyncpg": through_sqlalchemy("asyncpg", "connection"),
    "sqlalchemy session on psycopg": through_sqlalchemy("psycopg", "session"),
    "sqlalchemy connection on psycopg": through_sqlalchemy("psycopg", "connection"),
}


@pytest.fixture(params=GUESTS)
async def connection(request, postgres_schema: Schema):
    async with GUESTS[request.param](postgres_schema.dsn) as connection:
        yield connection


async def run(connection: Any, statement: str) -> None:
    """What the caller does besides."""
    if isinstance(connection, psycopg.AsyncConnection):
        await connection.execute(statement)
    else:
        await connection.execute(sqlalchemy.text(statement))


@pytest.fixture
async def orders(driver: PostgresDriver, postgres_schema: Schema) -> str:
    table = f"{postgres_schema.name}.orders"
    await sql(postgres_schema.dsn, f"CREATE TABLE {table} (n int)")
    return table


@pytest.mark.case("TXN-01", "TXN-03")
async def test_a_commit_shows_both(driver, connection, orders, postgres_schema) -> None:
    """And no worker sees the job earlier."""
    await run(connection, f"INSERT INTO {orders} VALUES (1)")
    given = [record("a", delay=-1), record("b", priority=9, max_attempts=3)]
    assert await driver.enqueue(given, within=connection) == [None, None]
    assert await claim(driver) == []
    await connection.commit()
    assert [(job.id, job.payload, job.max_attempts) for job in await claim(driver)] == [
        ("b", b"payload", 3),
        ("a", b"payload", None),
    ]
    assert await sql(postgres_schema.dsn, f"SELECT n FROM {orders}") == [(1,)]


@pytest.mark.case("TXN-02")
async def test_a_rollback_leaves_neither(driver, connection, orders, postgres_schema) -> None:
    await run(connection, f"INSERT INTO {orders} VALUES (1)")
    await driver.enqueue([record("a", key="k", key_ttl=60), record("b")], within=connection)
    await connection.rollback()
    assert await states(driver) == {}
    assert await driver.enqueue([record("c", key="k")]) == [None]
    assert await sql(postgres_schema.dsn, f"SELECT n FROM {orders}") == []


async def test_a_savepoint_takes_its_jobs_along(driver, connection, orders) -> None:
    await driver.enqueue([record("a")], within=connection)
    with contextlib.suppress(KeyError):
        if isinstance(connection, psycopg.AsyncConnection):
            async with connection.transaction():
                await driver.enqueue([record("b")], within=connection)
                raise KeyError
        else:
            async with connection.begin_nested():
                await driver.enqueue([record("b")], within=connection)
                raise KeyError
    await driver.enqueue([record("c")], within=connection)
    await connection.commit()
    assert set(await states(driver)) == {"a", "c"}


async def test_duplicates_are_answered(driver, connection) -> None:
    await driver.enqueue([record("a", key="k")])
    given = [record("a"), record("b", key="k"), record("c"), record("c")]
    assert await driver.enqueue(given, within=connection) == ["a", "a", None, "c"]
    await connection.commit()
    assert set(await states(driver)) == {"a", "c"}


async def test_an_error_leaves_the_transaction_usable(
    driver, connection, orders, postgres_schema
) -> None:
    """And it is one of ours."""
    await sql(postgres_schema.dsn, f"ALTER TABLE {postgres_schema.name}.failed_jobs RENAME TO x")
    with pytest.raises(DriverError, match="dropped"):
        await driver.enqueue([record("a")], within=connection)
    await run(connection, f"INSERT INTO {orders} VALUES (1)")
    await connection.commit()
    assert await sql(postgres_schema.dsn, f"SELECT n FROM {orders}") == [(1,)]


async def test_a_connection_that_commits_by_itself_is_refused(driver, postgres_schema) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_schema.dsn, autocommit=True) as given:
        with pytest.raises(TransactionUnsupported, match="in no transaction"):
            await driver.enqueue([record("a")], within=given)
    engine = create_async_engine(postgres_schema.dsn.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as given:
        await given.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(TransactionUnsupported, match="in no transaction"):
            await driver.enqueue([record("a")], within=given)
    await engine.dispose()
    assert await states(driver) == {}


async def test_what_blocks_the_event_loop_is_refused(driver, postgres_schema) -> None:
    with (
        psycopg.connect(postgres_schema.dsn) as given,
        pytest.raises(TransactionUnsupported, match="AsyncConnection"),
    ):
        await driver.enqueue([record("a")], within=given)
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as given, pytest.raises(TransactionUnsupported):
        await driver.enqueue([record("a")], within=given)
    engine.dispose()
