"""One transaction for everything that piled up, and none suffers for another."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.drivers.sqlite.calls import Outcome
from asyncqueue.drivers.sqlite.connection import begin
from asyncqueue.errors import DriverError, DriverUnavailable
from asyncqueue.record import Filter, State
from tests.drivers.sqlite.acts import EVERYTHING, claim, ended, record, sql, states

if TYPE_CHECKING:
    from pathlib import Path


class Blocker:
    """Somebody else who holds the write lock."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


async def until_taken(driver: SqliteDriver) -> None:
    """Wait until the writer has taken every call, and waits for the lock with them."""
    await asyncio.sleep(0)
    while not (driver._writer._calls.empty() and waits_for_lock(driver)):
        await asyncio.sleep(0.001)


def waits_for_lock(driver: SqliteDriver) -> bool:
    thread = driver._writer._thread.ident
    assert thread is not None
    frames = traceback.walk_stack(sys._current_frames()[thread])
    return any(frame.f_code is begin.__code__ for frame, _ in frames)


async def until_done(driver: SqliteDriver) -> None:
    """Wait until the writer has done what was asked for, undoing included."""
    for _ in range(2):
        await driver.pause([], on=True)


def level(driver: SqliteDriver) -> int:
    """What the last commit waited for: 2 the disk, 1 nothing."""
    with driver._writer._kept.using() as connection:
        return connection.execute("PRAGMA synchronous").fetchone()[0]


async def test_jobs_and_outcomes_wait_for_the_disk_and_claims_do_not(driver: SqliteDriver) -> None:
    await driver.enqueue([record("a")])
    assert level(driver) == 2
    held = await claim(driver)
    assert level(driver) == 1
    await driver.settle([ended(one) for one in held])
    assert level(driver) == 2


async def test_a_bad_call_does_not_harm_the_others(driver: SqliteDriver) -> None:
    """Nothing half-stored, and only the guilty call fails."""
    bad = record("bad")
    bad.max_attempts = 2**70
    blocked = Blocker(driver.path)
    calls = [
        asyncio.create_task(driver.enqueue(records))
        for records in ([record("a")], [record("b"), bad], [record("c")])
    ]
    await asyncio.sleep(0)
    blocked.let_go()
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert first == [None]
    assert isinstance(second, OverflowError)
    assert third == [None]
    assert set(await states(driver)) == {"a", "c"}


async def test_calls_are_grouped(driver: SqliteDriver) -> None:
    """Many callers, few transactions."""
    commits: list[str] = []
    driver._writer._connection.set_trace_callback(
        lambda text: commits.append(text) if text == "COMMIT" else None
    )
    blocked = Blocker(driver.path)
    calls = [asyncio.create_task(driver.enqueue([record(f"{n}")])) for n in range(100)]
    await asyncio.sleep(0)
    blocked.let_go()
    await asyncio.gather(*calls)
    assert len(commits) <= 3
    assert await driver.count(EVERYTHING) == 100


async def test_a_wake_up_makes_no_claim_wait_for_the_disk(driver: SqliteDriver) -> None:
    """PRF: what the writer hears of its own writes falls into one group with the next claim."""
    await driver.enqueue([record("a"), record("b"), record("c")])
    await claim(driver, 1)  # From now on claims do not look before they lock.
    levels: set[str] = set()
    driver._writer._connection.set_trace_callback(
        lambda text: levels.add(driver._writer._synchronous) if text == "COMMIT" else None
    )
    blocked = Blocker(driver.path)
    first = asyncio.create_task(claim(driver, 1))
    await until_taken(driver)
    driver._writer._wake()
    second = asyncio.create_task(claim(driver, 1))
    await asyncio.sleep(0)
    blocked.let_go()
    assert [job.id for job in (*await first, *await second)] == ["b", "c"]
    assert levels == {"NORMAL"}


async def test_looking_never_waits_for_a_writer(driver: SqliteDriver) -> None:
    """While somebody writes for long, everything can be seen."""
    await driver.enqueue([record("a")])
    blocked = Blocker(driver.path)
    assert (await driver.counts())["q"].pending == 1
    assert await driver.count(EVERYTHING) == 1
    assert await driver.called_off("w") == []
    assert await driver.paused() == []
    assert await driver.workers() == []
    blocked.let_go()


async def test_an_idle_claim_takes_no_lock(driver: SqliteDriver) -> None:
    """Idle workers do not stand in the way of those who write."""
    blocked = Blocker(driver.path)
    assert await claim(driver) == []
    assert await driver.sweep() == 0
    blocked.let_go()


async def test_a_lock_for_too_long(path: Path) -> None:
    """The store cannot be reached within a bounded time, and the error says what to do."""
    driver = SqliteDriver(path, busy_timeout=0.05)
    await driver.open()
    blocked = Blocker(path)
    with pytest.raises(DriverUnavailable, match="locked by another connection for 0.05 seconds"):
        await driver.enqueue([record("a")])
    blocked.let_go()
    assert await driver.enqueue([record("a")]) == [None]
    await driver.close()


async def test_a_short_lock_is_waited_for(driver: SqliteDriver) -> None:
    """No "database is locked" ever reaches a user below the timeout."""
    blocked = Blocker(driver.path)
    releasing = threading.Timer(0.05, blocked.let_go)
    releasing.start()
    assert await driver.enqueue([record("a")]) == [None]
    releasing.join()


@pytest.mark.case("DSP-08")
async def test_a_cancelled_dispatch_that_was_not_begun_stores_nothing(
    driver: SqliteDriver,
) -> None:
    blocked = Blocker(driver.path)
    begun = asyncio.create_task(driver.enqueue([record("begun")]))
    await until_taken(driver)
    waiting = asyncio.create_task(driver.enqueue([record("waiting")]))
    await asyncio.sleep(0)
    waiting.cancel()
    begun.cancel()
    await asyncio.gather(waiting, begun, return_exceptions=True)
    blocked.let_go()
    await until_done(driver)
    assert waiting.cancelled()
    assert begun.cancelled()
    assert set(await states(driver)) == {"begun"}, "what was begun is stored"


@pytest.mark.case("DRV-10")
async def test_a_cancelled_claim_loses_nothing(driver: SqliteDriver) -> None:
    """The job is claimable again, its attempt given back."""
    await driver.enqueue([record("a")])
    blocked = Blocker(driver.path)
    claiming = asyncio.create_task(claim(driver))
    await until_taken(driver)
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    assert claiming.cancelled()
    blocked.let_go()
    await until_done(driver)
    assert [(each.id, each.attempts) for each in await claim(driver)] == [("a", 1)]


@pytest.mark.case("DRV-10")
async def test_a_claim_cancelled_together_with_its_answer_is_given_back(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is there, but its receiver is not."""
    await driver.enqueue([record("a")])
    deliver = Outcome.deliver

    def deliver_and_cancel(outcome: Outcome) -> object:
        undoing = deliver(outcome)
        if outcome.call.undo is not None:
            claiming.cancel()
        return undoing

    with monkeypatch.context() as patch:
        patch.setattr(Outcome, "deliver", deliver_and_cancel)
        claiming = asyncio.create_task(claim(driver))
        await asyncio.gather(claiming, return_exceptions=True)
    assert claiming.cancelled()
    await until_done(driver)
    assert [(each.id, each.attempts) for each in await claim(driver)] == [("a", 1)]


async def test_closing_finishes_what_was_asked_for(path: Path) -> None:
    driver = SqliteDriver(path)
    await driver.open()
    calls = [asyncio.create_task(driver.enqueue([record(f"{n}")])) for n in range(20)]
    await asyncio.sleep(0)
    await driver.close()
    assert await asyncio.gather(*calls) == [[None]] * 20
    assert sql(path, "SELECT count(*) FROM jobs") == [(20,)]


@pytest.mark.case("DRV-10")
async def test_a_claim_cancelled_before_closing_is_given_back(path: Path) -> None:
    """Also when the driver is closed at the same moment."""
    driver = SqliteDriver(path)
    await driver.open()
    await driver.enqueue([record("a")])
    blocked = Blocker(path)
    claiming = asyncio.create_task(claim(driver))
    await until_taken(driver)
    claiming.cancel()
    closing = asyncio.create_task(driver.close())
    await asyncio.sleep(0)
    blocked.let_go()
    await closing
    assert claiming.cancelled()
    assert sql(path, "SELECT state, attempts FROM jobs") == [(0, 0)]


async def test_a_closed_driver_says_so(driver: SqliteDriver) -> None:
    """No verb hangs on a driver that is not open."""
    await driver.close()
    with pytest.raises(DriverError, match="is closed; open it first"):
        await driver.enqueue([record("a")])
    with pytest.raises(DriverError, match="is closed; open it first"):
        await driver.counts()


@pytest.mark.case("DRV-10")
def test_the_claims_of_a_loop_that_ended_are_given_back(path: Path) -> None:
    """Asyncio.run() ended before the answer came."""
    driver = SqliteDriver(path)

    async def leave() -> Blocker:
        await driver.open()
        await driver.enqueue([record("a")])
        blocked = Blocker(path)
        claiming = asyncio.create_task(claim(driver))
        await until_taken(driver)
        assert not claiming.done()
        return blocked

    blocked = asyncio.run(leave())
    blocked.let_go()

    async def look() -> None:
        await until_done(driver)
        assert await driver.count(Filter(states=(State.PENDING,))) == 1
        await driver.close()

    asyncio.run(look())


async def test_settlements_survive_in_any_mixture(driver: SqliteDriver) -> None:
    """STL: held and stale, kept and removed, in one call."""
    await driver.enqueue([record(f"{n}") for n in range(6)])
    got = await claim(driver)
    stale = ended(got[5])
    stale.token += 1
    answers = await driver.settle(
        [
            ended(got[0]),
            ended(got[0]),
            ended(got[1], retention=0.0),
            ended(got[2], State.FAILED, error="boom"),
            ended(got[3], State.PENDING),
            ended(got[4], State.DELAYED, delay=5.0),
            stale,
        ]
    )
    assert answers == [True, False, True, True, True, True, False]
    assert await states(driver) == {
        "0": State.COMPLETED,
        "2": State.FAILED,
        "3": State.PENDING,
        "4": State.DELAYED,
        "5": State.PROCESSING,
    }


async def test_those_behind_a_call_that_waits_in_vain_wait_no_longer(path: Path) -> None:
    """The bound holds for every call, not for each after the other."""
    driver = SqliteDriver(path, busy_timeout=0.6)
    await driver.open()
    blocked = Blocker(path)
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = asyncio.create_task(driver.enqueue([record("a")]))
    await until_taken(driver)
    second = asyncio.create_task(driver.enqueue([record("b")]))
    errors = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(error) for error in errors] == [DriverUnavailable] * 2
    assert loop.time() - began < 1.15
    blocked.let_go()
    await driver.close()
