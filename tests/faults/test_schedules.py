"""Schedulers that are killed, stand still, have wrong clocks and lose their server."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from ..cli.processes import Process
from .jobs import EVERY, JOURNAL

if TYPE_CHECKING:
    from .conftest import Figure
    from .scene import Scene

pytestmark = [pytest.mark.faults, pytest.mark.case("SCH-19")]
NOTHING_KEPT = {"QUEUE_RETENTION": "0"}
"""But what tells that a slot was dispatched."""


def scheduler(scene: Scene, **environment: str) -> Process:
    """Another scheduler process."""
    variables = {JOURNAL: str(scene.journal.path), **scene.store.variables(), **NOTHING_KEPT}
    args = ("schedule", "tests.faults.clockwork:scheduler", "--log-level", "WARNING")
    process = Process(scene.folder, args, {**variables, **environment}, module="asyncqueue")
    scene.workers.append(process)
    return process


async def running_scheduler(scene: Scene, **environment: str) -> Process:
    process = scheduler(scene, **environment)
    await scene.ready(process)
    return process


def slots(scene: Scene) -> Counter[int]:
    """How often the job of each slot has run."""
    scene.reading.more()
    ids = [e.id for e in scene.reading.of("started")]
    assert all(id.startswith(f"schedule:tick:{EVERY}s:") for id in ids)
    return Counter(int(id.rpartition(":")[2]) for id in ids)


async def ran(scene: Scene, count: int) -> None:
    await scene.until(lambda seen: len(seen.of("started")) >= count)


async def ended(scene: Scene, *processes: Process) -> None:
    """All of them end as asked, and what they dispatched has run."""
    for process in processes:
        code, _ = await scene.terminated(process)
        assert code == 0, process.said
    await scene.settled()


def gaps(found: Counter[int]) -> list[int]:
    """The slots between the first and the last that nobody dispatched."""
    return [number for number in range(min(found), max(found)) if number not in found]


@pytest.mark.parametrize("shift", [-3.0, 4.2])
async def test_one_that_is_killed_and_stands_still_beside_another(
    scene: Scene, shift: float, figure: Figure
) -> None:
    """The other one dispatches every slot; none comes twice, whatever the clocks say."""
    worker = await scene.hired("--queue", "recurring", **NOTHING_KEPT)
    steady = await running_scheduler(scene)
    first = time.time() / EVERY + 1
    begun = len(slots(scene))
    for round in range(2):
        victim = await running_scheduler(scene, FAULTS_SHIFT=str(shift))
        await ran(scene, begun + 3 * (round + 1))
        scene.suspend(victim)
        await asyncio.sleep(2 * EVERY)
        victim.send(signal.SIGCONT)
        await asyncio.sleep(EVERY / 3 * round)
        scene.kill(victim)
    last = time.time() / EVERY - 1
    await ended(scene, steady)
    found = slots(scene)
    await ended(scene, worker)
    assert set(found.values()) == {1}
    # Those that only a wrong clock came to, too early or too late, are not all there.
    assert [number for number in gaps(found) if first < number < last] == []
    figure("slots", len(found))


@pytest.mark.parametrize("when", ["before 2", "after 2"])
async def test_one_that_dies_at_the_very_moment(scene: Scene, when: str) -> None:
    """A slot is taken in the same step in which its job is stored."""
    worker = await scene.hired("--queue", "recurring", **NOTHING_KEPT)
    victim = await running_scheduler(scene, FAULTS_DIES=when, FAULTS_SHIFT="1.3")
    steady = scheduler(scene)  # Its clock is behind: it comes to the same slots later.
    assert await scene.ended(victim) == -signal.SIGKILL
    await scene.ready(steady)
    await ran(scene, 8)
    await ended(scene, steady, worker)
    assert set(slots(scene).values()) == {1}


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_a_server_that_is_away(own_scene: Scene, how: str, figure: Figure) -> None:
    """Two of them go on by themselves; of an outage the latest slot is made up for."""
    scene, server = own_scene, own_scene.store.server
    assert server is not None
    worker = await scene.hired("--queue", "recurring", lease=20.0, **NOTHING_KEPT)
    both = [await running_scheduler(scene, FAULTS_SHIFT=shift) for shift in ("0", "1.7")]
    await ran(scene, 5)
    (server.stop if how == "restart" else server.kill)()
    gone = time.time()
    await asyncio.sleep(3.0)
    server.start()
    back = time.time()
    before = len(slots(scene))
    await ran(scene, before + 8)
    await ended(scene, *both, worker)
    found = slots(scene)
    assert set(found.values()) == {1}
    first, last = gone / EVERY - 1, (back + 5) / EVERY
    assert all(first < number < last for number in gaps(found))
    figure("slots", len(found))
    figure("slots that an outage of 3 s cost", len(gaps(found)))
