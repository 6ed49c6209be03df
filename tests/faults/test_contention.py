"""As many as 32 at once want the same few keys and permits, while workers are killed."""

from __future__ import annotations

import asyncio
import math
import random
import time
from typing import TYPE_CHECKING

import pytest

from .checker import at_once
from .contended_jobs import (
    AT_A_TIME,
    HELD,
    Alone,
    Expiring,
    Few,
    Holding,
    Lasting,
    holdings,
    shared,
)
from .journal import Journal, Reading

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Figure
    from .scene import Scene

PROCESSES, SLOTS, PRODUCERS = 4, 8, 8
SECONDS = 8.0
LEASE = 3.0


class Rivals:
    """Producers that dispatch under a few keys as fast as they can."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.random = random.Random(seed)
        self.keys: dict[type[Lasting], dict[str, str]] = {Lasting: {}, Expiring: {}}
        """Of each kind, the key of every job that was stored."""
        self.duplicates = 0

    async def dispatch(self, kind: type[Lasting], key: str, seconds: float) -> bool:
        """Whether it was stored; else the key is said to be that of a job of ours."""
        journal, queue, known = self.scene.journal, self.scene.queue, self.keys[kind]
        id = f"{key}-{self.random.getrandbits(64)}"
        journal.note("attempted", id)
        handle = await queue.dispatch(kind(key, seconds), id=id)
        if handle.duplicate:
            journal.note("refused", id)
            assert handle.id.partition("-")[0] == key
            self.duplicates += 1
            return False
        journal.note("acknowledged", id)
        known[id] = key
        return True

    async def produce(self, until: float) -> None:
        while time.monotonic() < until:
            kind = self.random.choice([Lasting, Expiring])
            # Some of those whose key expires wait, or run, for longer than that.
            seconds = self.random.choice([0.0, 0.05, 0.4])
            await self.dispatch(kind, f"{kind.__name__}{self.random.randrange(4)}", seconds)
            await asyncio.sleep(0.005)


@pytest.mark.faults
async def test_keys_and_permits_that_many_want(scene: Scene, figure: Figure) -> None:
    """B3: no two jobs of one key live at once, and no more of one run than may, at any instant."""
    rivals = Rivals(scene, 7)
    await scene.dispatch(Few(key, 0.15) for key in "abc" for _ in range(60))
    await scene.dispatch(Alone("alone", 0.02) for _ in range(20))
    staff = [await scene.hired("--concurrency", str(SLOTS), lease=LEASE) for _ in range(PROCESSES)]
    until = time.monotonic() + SECONDS
    producing = [asyncio.create_task(rivals.produce(until)) for _ in range(PRODUCERS)]
    for _ in range(3):
        await asyncio.sleep(SECONDS / 4)
        victim = rivals.random.randrange(PROCESSES)
        scene.kill(staff[victim])
        staff[victim] = scene.hire("--concurrency", str(SLOTS), lease=LEASE)
    await asyncio.gather(*producing)
    await scene.settled()
    # Whoever held a key is gone: each is free.
    for kind in rivals.keys:
        for number in range(4):
            assert await rivals.dispatch(kind, f"{kind.__name__}{number}", 0.0)
    await scene.settled()
    report = await scene.report()
    assert report.problems() == []
    assert not report.recovered
    entries = scene.reading.more()
    for kind, most in ((Lasting, math.inf), (Expiring, HELD)):
        held = holdings(entries, rivals.keys[kind], most)
        assert len(held) == 4
        assert [pair for those in held.values() for pair in shared(those)] == []
        assert min(map(len, held.values())) > 5, "a key was not free again"
    running = at_once(report.bodies)
    assert {key: running[key] for key in "abc"} == dict.fromkeys("abc", AT_A_TIME)
    assert {count for key, count in running.items() if key.startswith("Lasting")} == {1}
    assert running["alone"] == 1
    assert rivals.duplicates > 50
    figure("keys taken", sum(map(len, rivals.keys.values())))
    figure("keys refused", rivals.duplicates)
    figure("bodies cut by 3 kills", report.cut)


class TestTheChecker:
    """It is believed because it finds what is wrong here."""

    def test_what_is_told_of_a_key(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "journal.jsonl")
        for event, id in (("attempted", "a"), ("acknowledged", "a"), ("attempted", "b")):
            journal.note(event, id)
        journal.note("refused", "b")
        journal.note("finished", "a")
        journal.close()
        entries = Reading(journal.path).more()
        (held,) = holdings(entries, {"a": "k", "b": "k"})["k"]
        assert held == ("a", entries[0].at, entries[1].at, entries[4].at)
        (held,) = holdings(entries, {"a": "k"}, most=0.0)["k"]
        assert held.until == held.asked
        (held,) = holdings(entries[:4], {"a": "k"})["k"]
        assert held.until == math.inf

    @pytest.mark.parametrize(
        ("asked", "told", "found"),
        [
            (2.0, 3.0, True),  # while the other one has it, and it is known to have it
            (0.5, 3.0, False),  # perhaps before the other one
            (2.0, 5.5, False),  # perhaps after it
            (6.0, 7.0, False),
        ],
    )
    def test_two_that_have_a_key(self, asked: float, told: float, found: bool) -> None:
        one, other = Holding("a", 0.0, 1.0, 5.0), Holding("b", asked, told, 9.0)
        assert shared([other, one]) == ([("a", "b")] if found else [])
