"""``kill -9`` of a worker at every step of batches, chains and callbacks loses and doubles nothing.

Jobs that the dead worker had may run twice. All counters are right, every callback is
called, and what follows begins once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asyncqueue import Worker
from asyncqueue.testing import Clock

from ..behaviour.linked import found, numbers
from .dying import LEASE, Hooked, Notes, Works, place, queue_on

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.faults


@pytest.fixture(params=["postgres", "redis", "sqlite"])
def store(request, tmp_path) -> list[str]:
    """Where the dying and the test meet."""
    if request.param == "sqlite":
        where = ["sqlite", str(tmp_path / "queue.db")]
    elif request.param == "redis":
        where = ["redis", *(request.getfixturevalue(f"redis_{part}") for part in ("url", "prefix"))]
    else:
        schema = request.getfixturevalue("postgres_schema")
        where = ["postgres", schema.dsn, schema.name]
    return where


class Dying:
    """The process whose children are killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def child(self, step: str, notes: Path) -> int:
        """Let one work until this step; how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step} {notes}\n".encode())
        async with asyncio.timeout(60):
            return int(await self._process.stdout.readline())


@pytest.fixture
async def dying(store):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.faults.dying", *store),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield Dying(process)
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


class Play:
    """What there is to do: a chain with a batch in it, a chain that fails, and a good batch."""

    def __init__(self, queue) -> None:
        self.mixed = queue.batch(Works("1"), Works("2", good=False), Works("3"))
        self.mixed.allow_failures().catch("catch").finally_("finally")
        self.chain = queue.chain(Works("a"), self.mixed, Works("z"))
        self.failing = queue.chain(Hooked("bad", good=False), Works("never")).catch("chain catch")
        self.good = queue.batch(Works("x"), Works("y")).then("then").finally_("finally")
        self.parts = (self.chain, self.failing, self.good)

    async def dispatch(self) -> None:
        for part in self.parts:
            await part.dispatch()


EXPECTED = {
    **dict.fromkeys(["a", "1", "2", "3", "z", "bad", "hook of bad", "x", "y"], 1),
    "then": 1,
    "catch": 1,
    "chain catch": 1,
    "finally": 2,
}


def check(notes: list[str]) -> None:
    """All happened, nothing but what the dead worker had was repeated, and in the right order.

    It had one that ran, and those whose ends were on their way to the store.
    """
    extra = [note for note in set(notes) for _ in range(notes.count(note) - EXPECTED[note])]
    assert all(extra.count(note) <= EXPECTED[note] for note in extra), notes
    assert "hook of bad" not in extra
    missing = [note for note, times in EXPECTED.items() if notes.count(note) < times]
    assert missing in ([], ["hook of bad"]), notes  # It is called once at most.
    first = {note: notes.index(note) for note in EXPECTED if note in notes}
    last = {note: len(notes) - 1 - notes[::-1].index(note) for note in first}
    for before, after in (
        ("a", "1"), ("a", "2"), ("a", "3"), ("1", "z"), ("2", "z"), ("3", "z"), ("2", "catch"),
        ("catch", "z"), ("x", "then"), ("y", "then"), ("bad", "chain catch"),
        ("hook of bad", "chain catch"), ("then", "finally"), ("catch", "finally"),
    ):  # fmt: skip
        if before in last and before != "hook of bad":
            assert first[before] < last[after], (before, after, notes)


async def play(store, dying, step: str, path: Path) -> int:
    """Dispatch all of it, let a child die at this step, and let another worker end it."""
    notes = Notes(str(path))
    driver = place(*store)
    async with queue_on(driver, notes) as queue:
        script = Play(queue)
        await script.dispatch()
    await driver.close()
    ended = await dying.child(step, path)
    later = datetime.now(UTC) + timedelta(seconds=LEASE + 100)
    driver = place(*store, clock=Clock(later))
    async with queue_on(driver, notes) as queue:
        await driver.open()
        await driver.sweep()
        await Worker(queue, stop_when_empty=True, poll_interval=0.01).run()
        assert numbers(await found(queue, script.mixed)) == (3, 0, 2, 1, 0)
        assert numbers(await found(queue, script.good)) == (2, 0, 2, 0, 0)
        assert {
            name: (row.pending, row.delayed) for name, row in (await queue.stats()).items()
        } == {"default": (0, 0)}
        assert (await queue.failed.list()).total == 2
        await queue.failed.flush()
    await driver.close()
    check(path.read_text().splitlines())
    return ended


@pytest.mark.case("BAT-18", "BAT-26", "CHN-10")
async def test_at_every_step(store, dying, tmp_path):
    steps = 0
    while True:
        ended = await play(store, dying, str(steps + 1), tmp_path / f"notes {steps + 1}")
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        steps += 1
    assert steps > 60
