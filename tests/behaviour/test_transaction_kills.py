"""``kill -9`` while a handler's transaction is under way: all of it happened, or nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Queue, State, Worker
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.testing import Clock

from .paying import Pays, registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "queue.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE payments (job TEXT)")
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def clock() -> Clock:
    """It shows the time at which the process runs that is to be killed."""
    return Clock(datetime.now(UTC))


@pytest.fixture
async def queue(path: Path, clock: Clock) -> AsyncIterator[Queue]:
    driver = SqliteDriver(path, clock=clock)
    async with Queue(driver, registry=registry()) as queue:
        yield queue
    await driver.close()


def payments(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT job FROM payments").fetchall()
    connection.close()
    return [job for (job,) in found]


async def killed(queue: Queue, path: Path, dies: str) -> str:
    """Let a process run a job and be killed; gives the id of the job."""
    handle = await queue.dispatch(Pays(runs=str(path.with_name("runs")), dies=dies))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.behaviour.paying", str(path), cwd=ROOT, env=ENVIRONMENT
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL
    return handle.id


async def runs_after_the_lease(queue: Queue, path: Path, clock: Clock) -> list[str]:
    """Which runs there were once another worker had its chance."""
    clock.advance(1000)
    await Worker(queue, stop_when_empty=True).run()
    return path.with_name("runs").read_text().split()


@pytest.mark.parametrize("dies", ["after the writes", "before the commit"])
async def test_before_the_commit_nothing_happened(
    queue: Queue, path: Path, clock: Clock, dies: str
) -> None:
    """Neither the writes nor the completion; then the job runs again, to its end."""
    job = await killed(queue, path, dies)
    assert payments(path) == []
    assert await queue.size("receipts") == 0
    assert (await queue.status(job)).state is State.PROCESSING
    assert await runs_after_the_lease(queue, path, clock) == ["1", "2"]
    assert payments(path) == [job]
    assert await queue.size("receipts") == 1
    assert (await queue.status(job)).state is State.COMPLETED


@pytest.mark.parametrize("dies", ["before anybody knows of the commit", "after the block"])
async def test_after_the_commit_all_of_it_happened(
    queue: Queue, path: Path, clock: Clock, dies: str
) -> None:
    """The writes, what was dispatched, and the completion; it never runs again."""
    job = await killed(queue, path, dies)
    assert (await queue.status(job)).state is State.COMPLETED
    assert payments(path) == [job]
    assert await queue.size("receipts") == 1
    assert await runs_after_the_lease(queue, path, clock) == ["1"]
    assert payments(path) == [job]
