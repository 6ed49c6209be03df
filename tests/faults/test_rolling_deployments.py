"""An older worker goes on serving while newer producers, and then newer workers, have joined it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from .jobs import Labour
from .newcomers import Newcomer, Reshaped
from .scene import PATIENCE

if TYPE_CHECKING:
    from ..cli.processes import Process
    from .conftest import Figure
    from .scene import Scene

pytestmark = pytest.mark.faults

WORKER = "tests.faults.releases:worker"
DELAY = 2.0
"""Seconds for which these workers hand back what they do not know; 15 where nobody says so."""
NEW = 20


async def of_release(scene: Scene, release: str, **environment: str) -> Process:
    """A worker of this release, which takes jobs."""
    return await scene.hired(worker=WORKER, FAULTS_RELEASE=release, **environment)


class Customers:
    """Those who dispatch what every release knows, all the time."""

    def __init__(self, scene: Scene) -> None:
        self.ids: list[str] = []
        self._scene = scene
        self._busy = asyncio.create_task(self._dispatch())

    async def _dispatch(self) -> None:
        for number in itertools.count():
            jobs = [Labour(seconds=0.01), Reshaped(number, "for those who know the field")]
            self.ids += await self._scene.dispatch(jobs)
            await asyncio.sleep(0.05)

    async def served(self) -> None:
        """They stop, and all of theirs is done."""
        self._busy.cancel()
        await asyncio.wait([self._busy])
        assert self._busy.cancelled()
        await self._scene.done(self.ids)

    async def go_on(self, worker: Process) -> None:
        """Return when this worker has run something that they dispatch from now on."""
        now = time.monotonic()
        await self._scene.until(
            lambda seen: any(
                e.pid == worker.pid and e.id in self.ids and e.at > now for e in seen.of("finished")
            )
        )


async def test_unknown_kinds_wait_for_who_knows_them(scene: Scene, figure: Figure) -> None:
    """P3: an older worker hands them back, each once in a while, and no attempt is used up."""
    old = await of_release(scene, "old", FAULTS_UNKNOWN=str(DELAY))
    customers = Customers(scene)
    ids = await scene.dispatch((Newcomer(n) for n in range(NEW)), max_attempts=1)
    await scene.until(lambda seen: len([e for e in seen.of("claimed") if e.id in ids]) >= 2 * NEW)
    assert not scene.reading.ids("started") & set(ids)
    new = await of_release(scene, "new", FAULTS_UNKNOWN=str(DELAY))
    await customers.go_on(old)
    await customers.go_on(new)
    code, _ = await scene.terminated(old)
    assert code == 0, old.said
    await scene.done(ids)
    await customers.served()
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert not report.dead
    assert {body.pid for body in report.bodies if body.id in ids} == {new.pid}
    assert {e.attempt for e in scene.reading.of("started")} == {1}
    looks: dict[str, list[float]] = defaultdict(list)
    for entry in scene.reading.of("claimed"):
        looks[entry.id].append(entry.at)
    pauses = [b - a for id in ids for a, b in itertools.pairwise(looks[id])]
    assert min(pauses) > DELAY * 0.9, "a kind that nobody knows keeps a worker busy"
    figure("looks at an unknown one per second, at most (delay 2)", 1 / min(pauses))


async def test_unknown_kinds_are_kept_as_failed(scene: Scene, figure: Figure) -> None:
    """P3, by default: they are in the failed store, whole, until they are retried."""
    old = await of_release(scene, "old")
    customers = Customers(scene)
    ids = await scene.dispatch(Newcomer(n) for n in range(NEW))

    async with asyncio.timeout(PATIENCE):
        while (await scene.queue.failed.list()).total < NEW:
            await asyncio.sleep(0.05)
    for number, id in enumerate(ids):
        record = await scene.queue.failed.get(id)
        assert (record.name, record.payload) == ("FaultNewcomer", {"number": number})
        assert record.error.startswith("UnknownJob: ")
    new = await of_release(scene, "new")
    await customers.go_on(old)
    await customers.go_on(new)
    # While both serve, either may get them: done, or failed as before.
    assert await scene.queue.failed.retry_all(name="FaultNewcomer") == NEW
    await scene.until(lambda seen: len([e for e in seen.of("claimed") if e.id in ids]) >= 2 * NEW)
    code, _ = await scene.terminated(old)
    assert code == 0, old.said
    again = await scene.queue.failed.retry_all(name="FaultNewcomer")
    await scene.done(ids)
    await customers.served()
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert not report.dead
    assert set(report.effects.values()) == {1}
    assert scene.reading.of("called") == []
    figure("failed as unknown again while both served", again)
