"""The clock of the host is set while jobs run: leases and permits last as long as before."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from asyncqueue.clock import SystemClock
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.record import Filter, Presence, Record, Settlement, Source, State
from tests.drivers.sqlite.acts import sql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

Q = Source("q")
LEASE = 30.0


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock of the host, for all of its processes."""
    ahead = [0.0]
    real = time.time
    monkeypatch.setattr(SystemClock, "time", staticmethod(lambda: real() + sum(ahead)))
    return ahead.append


@pytest.fixture
async def handles(tmp_path: Path) -> AsyncIterator[list[SqliteDriver]]:
    """Three processes on one file, or as good as that."""
    drivers = [SqliteDriver(tmp_path / "queue.db") for _ in range(3)]
    for driver in drivers:
        await driver.open()
    yield drivers
    for driver in drivers:
        await driver.close()


async def claimed(driver: SqliteDriver, id: str, lease: float = LEASE):
    await driver.enqueue([Record(id, "q", "Kind", b"")])
    (claim,) = (await driver.claim([Q], 1, lease, "w1")).claims
    return claim


async def left(driver: SqliteDriver, id: str) -> float:
    (job,) = (await driver.find(Filter(ids=(id,)))).items
    assert job.lease_left is not None
    return job.lease_left


@pytest.mark.parametrize("seconds", [600.0, -600.0, 3600.0, -3600.0])
async def test_leases_last_as_long_as_before(handles, step, seconds: float) -> None:
    one, two, three = handles
    claim = await claimed(one, "a")
    step(seconds)
    assert [await driver.sweep() for driver in (two, one, three)] == [0, 0, 0]
    assert await two.claim([Q], 1, LEASE, "w2") is not None
    for driver in handles:  # However many of them see the step, it is heeded once.
        await driver.announce(Presence("w", "h", 1, ["q"], 1, 0.0), LEASE)
        assert LEASE - 2 < await left(driver, "a") <= LEASE
    assert await one.settle([Settlement("a", claim.token, State.COMPLETED, 1)]) == [True]


async def test_steps_one_after_another(handles, step) -> None:
    """Whoever slept through some of them takes up where the others are."""
    one, two, three = handles
    await claimed(one, "a")
    step(600.0)
    await one.sweep()
    await claimed(two, "b")
    step(-1200.0)
    assert await three.sweep() == 0
    await claimed(three, "c")
    step(600.0)
    assert [await driver.sweep() for driver in (one, two, three)] == [0, 0, 0]
    for id in "abc":
        assert LEASE - 2 < await left(two, id) <= LEASE


async def test_a_lease_still_runs_out(handles, step) -> None:
    one, two, _ = handles
    await claimed(one, "a", lease=0.05)
    step(-600.0)
    await two.enqueue([Record("x", "other", "Kind", b"")])
    await asyncio.sleep(0.06)
    assert await two.sweep() == 1


async def test_permits_are_kept(handles, step) -> None:
    one, two, _ = handles
    assert await one.acquire("key", "holder", 1, LEASE) == 0
    step(600.0)
    await two.sweep()
    assert await two.acquire("key", "other", 1, LEASE) > 0


async def test_what_is_due_is_due_by_the_clock(handles, step) -> None:
    one, two, _ = handles
    await one.enqueue([Record("a", "q", "Kind", b"", delay=590.0)])
    await one.enqueue([Record("b", "q", "Kind", b"", delay=610.0)])
    step(600.0)
    assert [claim.id for claim in (await two.claim([Q], 9, LEASE, "w1")).claims] == ["a"]


async def test_a_note_of_another_start_of_the_host_says_nothing(
    handles, step, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *_ = handles
    monkeypatch.setattr("asyncqueue.drivers.sqlite.steps._boot", lambda: "before")
    step(600.0)
    await one.sweep()
    monkeypatch.setattr("asyncqueue.drivers.sqlite.steps._boot", lambda: "after")
    await claimed(one, "a")
    step(-50.0)
    await one.enqueue([Record("x", "other", "Kind", b"")])
    assert LEASE - 2 < await left(one, "a") <= LEASE


@pytest.mark.parametrize("note", ["", "x", "[]", '["boot"]', "[1, 2, 3]", "null", b"\xff", 7, None])
async def test_a_note_that_cannot_be_read_stops_nobody(handles, step, note: object) -> None:
    """Somebody else wrote where steps are noted: leases are moved as if nobody had noted any."""
    one, two, _ = handles
    step(600.0)
    await claimed(one, "before")
    assert sql(one.path, "SELECT count(*) FROM jobs_meta WHERE kind = 'clock'") == [(1,)]
    sql(one.path, "UPDATE jobs_meta SET value = ? WHERE kind = 'clock'", note)
    step(600.0)
    claim = await claimed(two, "a")
    assert await one.sweep() == 0
    assert LEASE - 1 < await left(one, "a") <= LEASE
    assert await two.settle([Settlement("a", claim.token, State.COMPLETED, 1)]) == [True]
