"""Several processes on one file."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.record import Filter, State
from tests.drivers.sqlite.acts import EVERYTHING, lines, sql, start_child

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.case("DRV-26")
async def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    """Kill -9 in the midst of writing."""
    child = await start_child("enqueue_for_ever", path)
    assert child.stdout is not None
    told = [await child.stdout.readline() for _ in range(200)]
    child.kill()
    told += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    acknowledged = {line.decode().strip() for line in told if line.endswith(b"\n")}
    driver = SqliteDriver(path)
    await driver.open()
    stored = {job.id for job in (await driver.find(EVERYTHING, limit=100_000)).items}
    await driver.close()
    assert len(acknowledged) >= 200
    assert acknowledged <= stored
    assert len(stored) % 10 == 0, "a call stores all of its records or none"


@pytest.mark.case("DRV-15", "DRV-16")
async def test_four_processes_share_the_work(path: Path) -> None:
    """All create the tables at once, no error reaches anybody, and each job is
    claimed once."""
    children = [await start_child("enqueue_and_claim", path, 60) for _ in range(4)]
    claimed = Counter(id for told in await asyncio.gather(*map(lines, children)) for id in told)
    driver = SqliteDriver(path)
    await driver.open()
    left = await driver.count(Filter(states=(State.PENDING, State.PROCESSING)))
    await driver.close()
    assert left == 0
    assert len(claimed) == 240
    assert set(claimed.values()) == {1}
    tables = sql(path, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    kinds = ("latches", "meta", "openings", "permits", "turns")
    ours = ["failed_jobs", "jobs", *(f"jobs_{kind}" for kind in kinds)]
    assert [name for (name,) in tables] == [*ours, "sqlite_sequence"]


async def test_a_dispatch_elsewhere_rings_here(path: Path) -> None:
    """Idle workers need not poll to be quick."""
    driver = SqliteDriver(path)
    await driver.open()
    child = await start_child("enqueue_one", path)
    assert child.stdin is not None
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    loop = asyncio.get_running_loop()
    with driver.watch(["queue:q"]) as watch:
        for _ in range(5):
            watch.clear()
            child.stdin.write(b"\n")
            assert await child.stdout.readline() == b"stored\n"
            began = loop.time()
            await watch.wait(5)
            assert loop.time() - began < 4, "below the five seconds of the wait"
    child.stdin.close()
    await child.wait()
    await driver.close()
    assert child.returncode == 0
