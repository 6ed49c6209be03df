"""Odd things that users, other programs and the moment do to an open driver."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.drivers.sqlite.calls import Call
from asyncqueue.errors import DriverError
from asyncqueue.record import Presence
from tests.drivers.sqlite.acts import EVERYTHING, claim, ended, record, sql

if TYPE_CHECKING:
    from pathlib import Path

    from asyncqueue.record import Claim


@pytest.fixture
async def held(driver: SqliteDriver) -> Claim:
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    return held


async def test_a_block_that_closes_its_connection(driver: SqliteDriver, held: Claim) -> None:
    """An error of ours, nothing is written, and the lock is free."""

    async def close() -> None:
        async with driver.transaction(ended(held)) as connection:
            connection.execute("CREATE TABLE effects (name)")
            connection.close()

    with pytest.raises(DriverError, match="ended inside its block"):
        await close()
    assert await driver.settle([ended(held)]) == [True]


async def test_a_block_that_closes_its_connection_and_raises(
    driver: SqliteDriver, held: Claim
) -> None:
    """The error of the block is the one that counts."""

    async def fail() -> None:
        async with driver.transaction(ended(held)) as connection:
            connection.close()
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await driver.settle([ended(held)]) == [True]


async def test_a_connection_to_a_file_that_is_gone(driver: SqliteDriver, tmp_path: Path) -> None:
    """It is not the queue's file, whatever became of it."""
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (n)")
    (tmp_path / "other.db").unlink()
    with pytest.raises(ValueError, match="give a connection to that file"):
        await driver.enqueue([record("a")], within=other)
    other.close()


@pytest.mark.parametrize("value", ["no json", '{"id": 7}', "[]", b"\xff", None, 7])
async def test_a_damaged_presence_does_not_hide_the_others(
    driver: SqliteDriver, value: object
) -> None:
    """Nor does it break who asks."""
    for name in ("bad", "good"):
        await driver.announce(Presence(name, "host", 1, ["q"], 1, 0.0), 60)
    sql(driver.path, "UPDATE jobs_meta SET value = ? WHERE name = 'bad'", value)
    assert [presence.id for presence in await driver.workers()] == ["good"]
    await driver.retire("bad")


async def test_closing_while_it_opens(path: Path) -> None:
    """Whichever is last counts; no thread is left behind."""
    others = _threads()
    driver = SqliteDriver(path)
    opening = asyncio.create_task(driver.open())
    while not driver._opening.locked():
        await asyncio.sleep(0)
    await driver.close()
    await opening
    assert _threads() <= others
    with pytest.raises(DriverError, match="closed"):
        await driver.count(EVERYTHING)


async def test_a_cancelled_close_ends_all_threads(path: Path) -> None:
    """There is nobody to close it again."""
    others = _threads()
    driver = SqliteDriver(path)
    await driver.open()
    await driver.enqueue([record("a")])
    closing = asyncio.create_task(driver.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert _threads() <= others


async def test_calls_that_meet_the_end_of_a_driver(driver: SqliteDriver) -> None:
    """Another event loop may have looked before it was closed, and asked after that."""
    writer, reader = driver._writer, driver._reader
    await driver.close()
    with pytest.raises(DriverError, match="was closed"):
        await writer.do(Call(lambda _: None))
    with pytest.raises(DriverError, match="was closed"):
        await reader.read(lambda _: None)


async def test_calls_in_flight_end_before_the_close(driver: SqliteDriver) -> None:
    """What was asked for is done, also by another event loop; what comes later is refused."""
    ends: list[object] = []

    async def enqueue_until_closed(loop: int) -> None:
        for number in range(100_000):
            try:
                await driver.enqueue([record(f"{loop}-{number}")])
                await driver.count(EVERYTHING)
            except DriverError as error:
                ends.append(str(error))
                return

    others = [
        threading.Thread(target=lambda n=n: asyncio.run(enqueue_until_closed(n))) for n in (1, 2)
    ]
    for other in others:
        other.start()
    while not await driver.count(EVERYTHING):
        await asyncio.sleep(0)
    await driver.close()
    for other in others:
        await asyncio.to_thread(other.join, 10)
        assert not other.is_alive()
    assert len(ends) == 2
    assert all("closed" in str(end) for end in ends)


def _threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("asyncqueue-sqlite")}
