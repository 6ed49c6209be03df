"""Jobs that are part of the caller's own transaction."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverUnavailable, TransactionUnsupported
from asyncqueue.record import State
from tests.drivers.sqlite.acts import claim, record, sql, states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncqueue.drivers.sqlite import SqliteDriver


@pytest.fixture
def connection(driver: SqliteDriver) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(driver.path, timeout=0)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
        yield connection


@pytest.mark.case("TXN-01", "TXN-03", "TXN-05")
async def test_commit(driver: SqliteDriver, connection: sqlite3.Connection) -> None:
    """With the business row, and not before it."""
    connection.execute("INSERT INTO orders VALUES (1)")
    assert await driver.enqueue([record("a"), record("b")], within=connection) == [None, None]
    assert connection.in_transaction
    assert await claim(driver) == []
    assert await states(driver) == {}
    connection.commit()
    assert sorted(each.id for each in await claim(driver)) == ["a", "b"]
    assert sql(driver.path, "SELECT * FROM orders") == [(1,)]


@pytest.mark.case("TXN-02")
async def test_rollback(driver: SqliteDriver, connection: sqlite3.Connection) -> None:
    """Delayed and unique ones, too."""
    connection.execute("INSERT INTO orders VALUES (1)")
    await driver.enqueue(
        [record("a"), record("b", delay=5), record("c", key="k")], within=connection
    )
    connection.rollback()
    assert await states(driver) == {}
    assert sql(driver.path, "SELECT * FROM orders") == []
    assert await driver.enqueue([record("d", key="k")]) == [None]


@pytest.mark.case("TXN-04")
async def test_no_further_table(driver: SqliteDriver, connection: sqlite3.Connection) -> None:
    before = sql(driver.path, "SELECT name FROM sqlite_schema ORDER BY name")
    await driver.enqueue([record("a")], within=connection)
    connection.commit()
    assert sql(driver.path, "SELECT name FROM sqlite_schema ORDER BY name") == before


@pytest.mark.case("TXN-01")
async def test_a_commit_rings(driver: SqliteDriver, connection: sqlite3.Connection) -> None:
    """Workers need not poll for such jobs either."""
    with driver.watch(["queue:q"]) as watch:
        await driver.enqueue([record("a")], within=connection)
        watch.clear()
        connection.commit()
        await watch.wait(5)
        assert watch._event.is_set()


async def test_duplicates(driver: SqliteDriver, connection: sqlite3.Connection) -> None:
    """Seen inside the transaction as well."""
    await driver.enqueue([record("a"), record("b", key="k")])
    answers = await driver.enqueue(
        [record("a"), record("c", key="k"), record("d", key="new"), record("e", key="new")],
        within=connection,
    )
    assert answers == ["a", "b", None, "d"]
    connection.commit()
    assert set(await states(driver)) == {"a", "b", "d"}


@pytest.mark.case("TXN-05")
async def test_the_connection_is_left_as_it_was(
    driver: SqliteDriver, connection: sqlite3.Connection
) -> None:
    """Neither committed nor closed nor set up differently."""
    connection.row_factory = sqlite3.Row
    connection.text_factory = bytes
    await driver.enqueue([record("a")], within=connection)
    await driver.enqueue([record("a")], within=connection)
    assert connection.row_factory is sqlite3.Row
    assert connection.text_factory is bytes
    assert connection.isolation_level == ""
    assert connection.in_transaction
    connection.commit()
    assert await states(driver) == {"a": State.PENDING}


async def test_without_a_transaction(driver: SqliteDriver) -> None:
    """A connection that commits every statement has no transaction to join."""
    with contextlib.closing(sqlite3.connect(driver.path, isolation_level=None)) as connection:
        with pytest.raises(TransactionUnsupported, match="begin a transaction on it first"):
            await driver.enqueue([record("a")], within=connection)
        connection.execute("BEGIN")
        await driver.enqueue([record("a")], within=connection)
        connection.execute("COMMIT")
    assert set(await states(driver)) == {"a"}


@pytest.mark.case("TXN-07")
@pytest.mark.parametrize("name", [":memory:", "other.db"])
async def test_another_database(driver: SqliteDriver, tmp_path: Path, name: str) -> None:
    """Never a silent ordinary dispatch."""
    target = name if name == ":memory:" else tmp_path / name
    with contextlib.closing(sqlite3.connect(target)) as connection:
        with pytest.raises(ValueError, match="give a connection to that file") as caught:
            await driver.enqueue([record("a")], within=connection)
        assert str(driver.path) in str(caught.value)
    assert await states(driver) == {}


@pytest.mark.case("TXN-01")
async def test_the_same_file_by_another_name(driver: SqliteDriver, tmp_path: Path) -> None:
    other_name = tmp_path / "link.db"
    other_name.symlink_to(driver.path)
    with contextlib.closing(sqlite3.connect(other_name)) as connection:
        await driver.enqueue([record("a")], within=connection)
        connection.commit()
    assert set(await states(driver)) == {"a"}


@pytest.mark.case("TXN-07")
async def test_something_else(driver: SqliteDriver) -> None:
    with pytest.raises(TransactionUnsupported, match=r"a transaction of builtins\.str"):
        await driver.enqueue([record("a")], within="transaction")


async def test_a_bad_record_leaves_the_transaction_as_it_was(
    driver: SqliteDriver, connection: sqlite3.Connection
) -> None:
    """All records or none, and what the caller wrote stays."""
    connection.execute("INSERT INTO orders VALUES (1)")
    bad = record("bad")
    bad.max_attempts = 2**70
    with pytest.raises(OverflowError):
        await driver.enqueue([record(f"{n}") for n in range(300)] + [bad], within=connection)
    connection.commit()
    assert await states(driver) == {}
    assert sql(driver.path, "SELECT * FROM orders") == [(1,)]


async def test_a_locked_connection(driver: SqliteDriver, connection: sqlite3.Connection) -> None:
    """SQLite's error does not leak."""
    with contextlib.closing(sqlite3.connect(driver.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DriverUnavailable, match="locked"):
            await driver.enqueue([record("a")], within=connection)
