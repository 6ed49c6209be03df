"""Connections of handlers' transactions: which are lent again, and to whom."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver, pool
from asyncqueue.errors import DriverError, DriverUnavailable
from asyncqueue.record import State
from tests.drivers.sqlite.acts import claim, ended, record, sql, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asyncqueue.drivers.sqlite.lendable import Lendable
    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.record import Claim


class Watched:
    """Which connections were opened, and in which threads they were opened and closed."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.threads: set[int] = set()

    def open(self, place: Place, really: Callable[[Place], Lendable]) -> Lendable:
        self.opened += 1
        self.threads.add(threading.get_ident())
        return really(place)

    def end(self, connection: Lendable, really: Callable[[Lendable], None]) -> None:
        self.closed += 1
        self.threads.add(threading.get_ident())
        really(connection)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    watched = Watched()
    really_open, really_end = pool.open_lendable, pool.Lendable.end
    monkeypatch.setattr(pool, "open_lendable", lambda place: watched.open(place, really_open))
    monkeypatch.setattr(pool.Lendable, "end", lambda self: watched.end(self, really_end))
    yield watched
    assert threading.get_ident() not in watched.threads


@pytest.fixture
async def jobs(driver: SqliteDriver) -> Iterator[Claim]:
    sql(driver.path, "CREATE TABLE orders (id INTEGER)")
    await driver.enqueue([record(str(number)) for number in range(8)])
    return iter(await claim(driver))


async def complete(
    driver: SqliteDriver, job: Claim, use: Callable[[sqlite3.Connection], object] = lambda _: None
) -> None:
    async with driver.transaction(ended(job)) as connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        use(connection)


async def test_blocks_share_a_connection(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    for _ in range(4):
        await complete(driver, next(jobs))
    assert (watched.opened, watched.closed) == (1, 0)
    await driver.close()
    assert watched.closed == 1


async def test_blocks_at_once_take_turns(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    await asyncio.gather(*(complete(driver, job) for job in jobs))
    assert len(sql(driver.path, "SELECT * FROM orders")) == 8
    assert watched.opened == 1


async def test_more_blocks_than_threads_do_not_keep_one_from_its_end(
    driver: SqliteDriver, jobs: Iterator[Claim]
) -> None:
    """Neither does whatever else waits in the threads of the event loop."""
    loop, free = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    loop.run_in_executor(None, free.wait)
    try:
        await asyncio.gather(*(complete(driver, job) for job in jobs))
    finally:
        free.set()
    assert set((await states(driver)).values()) == {State.COMPLETED}


async def test_the_turn_is_not_awaited_for_ever(path: Path) -> None:
    driver = SqliteDriver(path, busy_timeout=0.05)
    await driver.open()
    await driver.enqueue([record("a"), record("b")])
    first, second = await claim(driver)
    async with driver.transaction(ended(first)):
        with pytest.raises(DriverUnavailable, match="locked"):
            async with driver.transaction(ended(second)):
                pytest.fail("entered")
    await driver.close()


def raise_error(_: sqlite3.Connection) -> None:
    raise KeyError


async def test_a_block_that_raised_gives_its_connection_away(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    with pytest.raises(KeyError):
        await complete(driver, next(jobs), raise_error)
    assert watched.closed == 1


ALTERATIONS: dict[str, Callable[[Any], object]] = {
    "pragma": lambda c: c.execute("PRAGMA cache_size = 10"),
    "temporary table": lambda c: c.execute("CREATE TEMP TABLE orders2 (id)"),
    "temporary view": lambda c: c.execute("CREATE TEMP VIEW orders (id) AS SELECT 7"),
    "temporary trigger": lambda c: c.execute(
        "CREATE TEMP TRIGGER t AFTER INSERT ON orders BEGIN SELECT 1; END"
    ),
    "attached": lambda c: c.execute("ATTACH ':memory:' AS other"),
    "function": lambda c: c.create_function("lower", 1, lambda _: 7),
    "collation": lambda c: c.create_collation("mine", lambda *_: 0),
    "authorizer": lambda c: (
        c.set_authorizer(lambda *_: sqlite3.SQLITE_DENY) or c.set_authorizer(None)
    ),
    "trace": lambda c: c.set_trace_callback(print),
    "limit": lambda c: c.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 900),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
async def test_an_altered_connection_is_not_lent_again(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched, alteration: str
) -> None:
    await complete(driver, next(jobs), ALTERATIONS[alteration])
    assert watched.closed == 1
    await complete(driver, next(jobs))
    assert set(sql(driver.path, "SELECT id FROM orders")) == {(1,)}


def set_attributes(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.text_factory = bytes
    connection.isolation_level = "EXCLUSIVE"


def look(connection: sqlite3.Connection) -> None:
    assert connection.execute("SELECT 'text'").fetchone() == ("text",)
    assert connection.isolation_level is None
    connection.execute("PRAGMA database_list").fetchall()


async def test_attributes_are_set_back(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    for use in (set_attributes, look, look):
        await complete(driver, next(jobs), use)
    assert watched.opened == 1


async def test_who_keeps_a_connection_writes_no_more(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    """Nor does another block get it, or it could take part in that block's transaction."""
    kept: list[sqlite3.Connection] = []
    await complete(driver, next(jobs), kept.append)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        kept[0].execute("INSERT INTO orders VALUES (2)")
    await complete(driver, next(jobs))
    assert watched.opened == 2
    kept.clear()
    await complete(driver, next(jobs))
    assert watched.opened == 2


async def test_an_open_cursor_keeps_its_connection(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    cursors: list[sqlite3.Cursor] = []
    await complete(driver, next(jobs), lambda c: cursors.append(c.execute("SELECT * FROM jobs")))
    await complete(driver, next(jobs))
    assert watched.opened == 2


async def test_few_connections_are_kept(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    kept: list[sqlite3.Connection] = []
    for job in jobs:
        await complete(driver, job, kept.append)
    assert (watched.opened, watched.closed) == (8, 8 - pool.MOST_IDLE)


async def test_a_block_that_outlives_its_driver_writes_nothing(
    driver: SqliteDriver, jobs: Iterator[Claim], watched: Watched
) -> None:
    async def outlive() -> None:
        async with driver.transaction(ended(next(jobs))) as connection:
            connection.execute("INSERT INTO orders VALUES (1)")
            await driver.close()

    with pytest.raises(DriverError, match="closed before the transaction"):
        await outlive()
    assert watched.closed == 1
    assert sql(driver.path, "SELECT * FROM orders") == []
    with pytest.raises(DriverError, match="closed"):
        driver.transaction(ended(next(jobs)))


async def test_a_cancellation_while_rolling_back_is_not_lost(
    driver: SqliteDriver, jobs: Iterator[Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    end = pool.Lendable.end

    def slow_end(self: Lendable) -> None:
        begun.set()
        assert go_on.wait(5)
        end(self)

    monkeypatch.setattr(pool.Lendable, "end", slow_end)
    completing = asyncio.create_task(complete(driver, next(jobs), raise_error))
    assert await asyncio.to_thread(begun.wait, 5)
    completing.cancel()
    await asyncio.sleep(0)
    assert not completing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await completing
