"""Files of older and newer versions, from a real one of version 1 that is kept as text."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncqueue.drivers.migrations import Steps
from asyncqueue.drivers.sqlite import SqliteDriver, schema
from asyncqueue.errors import DriverError, DriverUnavailable
from asyncqueue.record import Filter, State
from asyncqueue.testing import Clock

from .acts import claim, ended, record, sql, start_child, states

MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
VERSION_1 = Path(__file__).with_name("version_1.sql").read_text()
STEP = """-- One more.

-- name: a
ALTER TABLE {jobs} ADD COLUMN a INTEGER;

-- name: b
CREATE TABLE jobs_more (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""


INDEXES = """
UNIQUE failed_jobs_id (id)
failed_jobs_finished (finished_at, queue)
failed_jobs_latch (latch) WHERE latch IS NOT NULL
UNIQUE jobs_id (id)
UNIQUE jobs_key (key) WHERE key_hold > 0
jobs_ready (queue, priority DESC, available_at, seq) WHERE state = 0
jobs_delayed (queue, available_at, priority) WHERE state = 1
jobs_leased (leased_until) WHERE state = 2
jobs_finished (state, queue, expires_at, finished_at) WHERE state >= 3
jobs_called_off (cancel_keep) WHERE cancel_keep IS NOT NULL
jobs_latch (latch, part) WHERE latch IS NOT NULL
UNIQUE jobs_latches_id (id)
jobs_latches_over (expires_at) WHERE expires_at IS NOT NULL
jobs_aside (aside, queue, priority, available_at, seq) WHERE state = -2
jobs_fair (queue, available_at, priority) WHERE state = -3
jobs_in_turn (queue, priority, fair, available_at, seq) WHERE state = -4
jobs_next_turn (queue, priority, turn)
jobs_permit_end (key, until)
jobs_opening_at (at)
"""
"""Without one of them everything still works, but every call reads a whole table."""


@pytest.fixture
def old(path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1)
    connection.close()
    return path


def add_step(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    """One version more than there is."""
    folder.mkdir()
    for step in schema.STEPS.after(0):
        (folder / f"{step.number:03}_{step.part}.sql").write_text(step.text)
    number = schema.STEPS.newest + 1
    (folder / f"{number:03}_jobs.sql").write_text(text)
    monkeypatch.setattr(schema, "STEPS", Steps(folder))
    return number


def versions(path: Path) -> set[int]:
    rows = sql(path, "SELECT value FROM jobs_meta WHERE kind IN ('schema', 'failed')")
    return {int(value) for (value,) in rows}


def shape(path: Path) -> set[tuple[Any, ...]]:
    """Everything that the file says of its tables, but not the order of columns."""
    indexes = sql(path, "SELECT name, sql FROM sqlite_schema WHERE type = 'index'")
    columns = sql(
        path,
        'SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_schema AS t, '
        "pragma_table_info(t.name) AS c WHERE t.type = 'table'",
    )
    return {*indexes, *columns}


async def test_an_old_file_becomes_like_a_new_one(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening is enough."""
    number = add_step(tmp_path / "steps", monkeypatch, STEP)
    fresh = tmp_path / "fresh.db"
    for path in (old, fresh):
        driver = SqliteDriver(path, clock=Clock(MADE_AT))
        await driver.open()
        await driver.close()
        assert versions(path) == {number}
    assert shape(old) == shape(fresh)


async def test_all_indexes_are_there(old: Path) -> None:
    await SqliteDriver(old).migrate()
    rows = sql(old, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
    found = (re.sub(r' ON "\w+"|CREATE |INDEX |"', "", text) for (text,) in rows)
    assert sorted(found) == sorted(INDEXES.strip().splitlines())


async def test_nothing_is_lost_on_the_way(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job in every state goes on from there."""
    add_step(tmp_path / "steps", monkeypatch, STEP)
    clock = Clock(MADE_AT)
    driver = SqliteDriver(old, clock=clock)
    await driver.open()
    assert await states(driver) == {
        "completed": State.COMPLETED,
        "cancelled": State.CANCELLED,
        "failed": State.FAILED,
        "processing": State.PROCESSING,
        "called off": State.PROCESSING,
        "ready": State.PENDING,
        "urgent": State.PENDING,
        "delayed": State.DELAYED,
        "unique": State.PENDING,
        "elsewhere": State.PENDING,
    }
    found = {job.id: job for job in (await driver.find(Filter(), limit=100)).items}
    assert (found["completed"].result, found["completed"].progress) == (b"42", 100)
    assert (found["failed"].error, found["failed"].attempts) == ("ValueError: no", 1)
    assert (found["processing"].progress, found["processing"].message) == (40, "half way")
    assert await driver.paused() == ["paused"]
    assert await driver.called_off("worker-1") == ["called off"]
    assert await driver.enqueue([record("other", key="held")]) == ["unique"]
    assert [job.id for job in await claim(driver)] == ["urgent", "ready", "unique"]
    assert await driver.requeue(Filter(ids=("failed",))) == ["failed"]
    clock.advance(60)
    await driver.sweep()
    again = await claim(driver)
    waiting = {"urgent", "failed", "processing", "ready", "unique", "delayed"}
    assert {job.id for job in again} == waiting
    assert await driver.settle([ended(job) for job in again]) == [True] * 6
    await driver.close()


async def test_many_that_start_at_once_upgrade_it_once(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = add_step(tmp_path / "steps", monkeypatch, STEP)
    drivers = [SqliteDriver(old) for _ in range(6)]
    reports = await asyncio.gather(
        *(driver.migrate() for driver in drivers[:3]), *(driver.open() for driver in drivers[3:])
    )
    assert sum(1 for report in reports if report) <= 1
    assert versions(old) == {number}
    assert await drivers[0].migrate() == []
    for driver in drivers:
        await driver.close()


async def test_migrate_tells_what_it_did(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = add_step(tmp_path / "steps", monkeypatch, STEP)
    told = await SqliteDriver(old).migrate()
    assert told[-1] == f"{number:03} jobs: One more."


@pytest.mark.parametrize("part", ["schema", "failed"])
async def test_a_file_of_the_future_is_left_alone(old: Path, part: str) -> None:
    sql(old, f"UPDATE jobs_meta SET value = '99' WHERE kind = '{part}'")
    before = shape(old)
    for act in (SqliteDriver(old).open, SqliteDriver(old).migrate):
        with pytest.raises(DriverError, match="have version 99 .* a newer asyncqueue") as caught:
            await act()
        assert not isinstance(caught.value, DriverUnavailable)
    assert shape(old) == before


async def test_a_step_that_breaks_leaves_nothing(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or none, whatever the reason."""
    before = shape(old)
    bad = f"{STEP}\n-- name: bad\nALTER TABLE {{jobs}} ADD COLUMN seq INTEGER;\n"
    add_step(tmp_path / "steps", monkeypatch, bad)
    with pytest.raises(DriverError, match="seq"):
        await SqliteDriver(old).open()
    assert shape(old) == before
    assert versions(old) == {1}


async def test_whoever_is_at_work_goes_on(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the version before has the file open while a newer one starts."""
    child = await start_child("enqueue_one", old)
    assert child.stdin is not None
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    number = add_step(tmp_path / "steps", monkeypatch, STEP)
    newer = SqliteDriver(old, clock=Clock(MADE_AT))
    await newer.open()
    assert versions(old) == {number}
    child.stdin.write(b"go\n")
    assert await child.stdout.readline() == b"stored\n"
    assert f"{child.pid}-0" in await states(newer)
    await newer.close()
    child.stdin.close()
    assert await child.wait() == 0
