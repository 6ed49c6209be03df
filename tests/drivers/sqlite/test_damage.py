"""Rows that others damaged, and disks that are full."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Queue
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.record import Filter, Source, State
from tests.drivers.sqlite.acts import (
    EVERYTHING,
    claim,
    ended,
    lines,
    record,
    sql,
    start_child,
    states,
)

if TYPE_CHECKING:
    from pathlib import Path

DAMAGE = [
    ("state", 99),
    ("state", "ready"),
    ("payload", None),
    ("payload", "text"),
    ("payload", 7),
    ("name", None),
    ("name", b"\xff\xfe"),
    ("id", b"\xff"),
    ("queue", b"\xff"),
    ("priority", "high"),
    ("attempts", "many"),
    ("exceptions", b"\xff"),
    ("token", "x"),
    ("token", 1e300),
    ("token", float("inf")),
    ("token", 2**63 - 1),
    ("token", -5),
    ("token", b"\xff"),
    ("max_attempts", "x"),
    ("created_at", "yesterday"),
    ("available_at", "tomorrow"),
    ("available_at", b"\xff"),
]


@pytest.mark.case("FLD-06")
@pytest.mark.parametrize(("column", "value"), DAMAGE)
async def test_a_damaged_row_does_not_hide_the_others(
    driver: SqliteDriver, column: str, value: object
) -> None:
    """Workers go on, and so do those who look."""
    await driver.enqueue([record("bad"), record("good"), record("late", delay=10)])
    sql(driver.path, f"UPDATE jobs SET {column} = ? WHERE id = 'bad'", value)
    got = {each.id: each for each in await claim(driver)}
    assert "good" in got
    assert all(isinstance(each.payload, bytes) for each in got.values())
    assert await driver.settle([ended(each) for each in got.values()]) == [True] * len(got)
    found = await driver.find(EVERYTHING)
    assert {"good", "late"} <= {job.id for job in found.items}
    assert (await driver.counts())["q"].delayed == 1
    assert await driver.cancel(Filter(ids=("late",)), 10) == {"late": State.DELAYED}
    await driver.sweep()
    await driver.prune(0)


@pytest.mark.parametrize("value", ["later", b"\xff", None])
async def test_a_damaged_delayed_row(driver: SqliteDriver, value: object) -> None:
    """Nobody waits for a time that is none, nor without a pause."""
    await driver.enqueue([record("bad", delay=1), record("late", delay=10)])
    if value is not None:
        sql(driver.path, "UPDATE jobs SET available_at = ? WHERE id = 'bad'", value)
    due_in = (await driver.claim([Source("q")], 5, 30, "w")).due_in
    assert due_in == (1 if value is None else 10)


@pytest.mark.case("FLD-06")
async def test_text_that_is_not_utf8(driver: SqliteDriver) -> None:
    """The job can be claimed and settled although its name cannot be read."""
    await driver.enqueue([record("a"), record("b")])
    sql(driver.path, "UPDATE jobs SET name = CAST(x'ff41' AS TEXT) WHERE id = 'a'")
    got = await claim(driver)
    assert [(each.id, each.name) for each in got] == [("a", "\ufffdA"), ("b", "kind")]
    assert await driver.settle([ended(got[0], State.FAILED), ended(got[1])]) == [True, True]
    assert await states(driver) == {"a": State.FAILED, "b": State.COMPLETED}
    assert await driver.requeue(EVERYTHING) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the size of files")
async def test_a_full_disk(path: Path) -> None:
    """A clear error, nothing half-stored, and everything stored before is there."""
    *stored, refused = await lines(await start_child("fill_disk", path, 8))
    assert refused == "refused:full"
    driver = SqliteDriver(path)
    await driver.open()
    assert set(await states(driver)) == set(stored)
    assert len(stored) > 2
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]
    await driver.close()


DAMAGE_TO_SHOW = [
    ("queue", b"\xff"),
    ("priority", float("inf")),
    ("attempts", float("inf")),
    ("max_attempts", float("-inf")),
    ("created_at", 1e300),
    ("available_at", float("inf")),
    ("available_at", -1e300),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE_TO_SHOW)
async def test_a_damaged_row_can_be_shown(driver: SqliteDriver, column: str, value: object) -> None:
    """One row that nobody could have stored takes no listing and no statistics away."""
    await driver.enqueue([record("bad"), record("good")])
    sql(driver.path, f"UPDATE jobs SET {column} = ? WHERE id = 'bad'", value)
    queue = Queue(driver)
    assert {job.id for job in (await queue.jobs()).items} == {"bad", "good"}
    assert sum(stats.pending + stats.delayed for stats in (await queue.stats()).values()) == 2
