"""Workers that are killed, or kill themselves: nothing is lost, and all comes back in time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from .checker import at_once, comebacks
from .jobs import Labour, Limited, Poison, Unique
from .scene import LEASE

if TYPE_CHECKING:
    from .conftest import Figure
    from .scene import Scene

pytestmark = pytest.mark.faults

BACK = 1.3
"""Leases within which the jobs of a dead worker run again."""
SLACK = 0.5
"""Seconds that a machine with other things to do may take on top of what is promised."""


async def test_killed_twice(scene: Scene, figure: Figure) -> None:
    """C1: 300 jobs; a worker is killed when a quarter is done, and again a quarter later."""
    await scene.labour(300)
    for quarter in (75, 150):
        worker = scene.hire()
        await scene.done(quarter)
        scene.kill(worker)
    await scene.hired()
    since = time.monotonic()
    await scene.done(300)
    await scene.settled()
    report = await scene.report()
    assert report.problems() == []
    assert len(report.done) == 300
    assert not report.overlapped
    for back in comebacks(report.bodies):
        # Nobody can take back what is nobody's before there is somebody.
        assert back.began <= max(back.died + BACK * LEASE, since + LEASE / 4) + SLACK
    figure("bodies cut", report.cut)
    figure("run twice", len(report.duplicated))


async def test_orphans_come_back_without_traffic(scene: Scene, figure: Figure) -> None:
    """C2: whatever their timeouts, each within 1.3 of its own lease; nobody dispatches or starts.

    The worker that takes over was idle all the time.
    """
    for timeout in (30.0, 300.0, 3600.0):
        await scene.dispatch((Labour(first=25.0) for _ in range(3)), timeout=timeout)
    worker = await scene.hired()
    await scene.begun(9)
    await scene.hired()
    scene.kill(worker)
    await scene.done(9)
    await scene.settled()
    report = await scene.report()
    assert report.problems() == []
    back = [one.seconds for one in comebacks(report.bodies)]
    assert len(back) == 9
    assert back[-1] <= BACK * LEASE + SLACK
    assert back[0] > LEASE / 2, "they came back before their lease can have run out"
    figure("orphans back after, first (s, lease 2)", back[0])
    figure("orphans back after, last (s, lease 2)", back[-1])


async def test_a_unique_key_is_free_after_a_kill(scene: Scene, figure: Figure) -> None:
    """C3: the key is held while its job is an orphan, and free when that has run."""
    (id,) = await scene.dispatch([Unique(key="k", seconds=0.6, first=25.0)])
    worker = await scene.hired()
    await scene.begun(1)
    await scene.hired()
    killed = scene.kill(worker)
    held = await scene.queue.dispatch(Unique(key="k", seconds=0))
    assert (held.duplicate, held.id) == (True, id)
    await scene.done([id])
    await scene.settled()
    (second,) = await scene.dispatch([Unique(key="k", seconds=0)])
    await scene.done([second])
    report = await scene.report()
    assert report.problems() == []
    assert at_once(report.bodies) == {"k": 1}
    blocked = next(body for body in report.bodies if body.id == second).began - killed
    assert blocked <= BACK * LEASE + 0.6 + 2 * SLACK
    figure("key free after (s, lease 2, 0.6 of it work)", blocked)


async def test_a_limit_is_free_after_a_kill(scene: Scene, figure: Figure) -> None:
    """C3: whoever held the permit is dead; others get it, one at a time."""
    await scene.dispatch(Limited(key=key, seconds=0.1) for key in "ab" for _ in range(4))
    worker = scene.hire()
    await scene.begun(2)
    scene.kill(worker)
    await scene.hired()
    await scene.done(8, BACK * LEASE + 0.8 + 5 * SLACK)
    await scene.settled()
    report = await scene.report()
    assert report.problems() == []
    assert at_once(report.bodies) == {"a": 1, "b": 1}
    last = comebacks(report.bodies)[-1].seconds
    figure("last holder back after (s, lease 2)", last)


@pytest.mark.case("RTY-15")
async def test_a_job_that_ends_its_process(scene: Scene, figure: Figure) -> None:
    """C7: after three crashes it is in the failed store; the others have run."""
    how = {"sqlite": "no memory", "redis": "segmentation fault", "postgres": "exit"}[
        scene.store.kind
    ]
    (poison,) = await scene.dispatch([Poison(how=how)])
    await scene.dispatch(Labour(seconds=0.02) for _ in range(20))
    supervisor = scene.hire("--processes", "1", lease=1.0)
    await scene.until(lambda seen: seen.of("called"))
    await scene.done(20)
    await scene.settled()
    code, _ = await scene.terminated(supervisor)
    report = await scene.report()
    assert report.problems() == []
    assert report.dead == {poison}
    crashes = sum(body.id == poison for body in report.bodies)
    assert (crashes, report.deaths) == (3, 3)
    (called,) = scene.reading.of("called")
    assert (called.id, called.state) == (poison, "AttemptsExhausted")
    assert code == 0, supervisor.said
    figure("crashes until it failed", crashes)


async def test_a_worker_that_is_killed_over_and_over(scene: Scene, figure: Figure) -> None:
    """C1 with a crash loop: a worker lives for less than a lease, and still all is done."""
    await scene.labour(60, 0.3)
    for _ in range(3):
        worker = await scene.hired("--concurrency", "5")
        await asyncio.sleep(0.5)
        scene.kill(worker)
    await scene.hired()
    await scene.done(60)
    await scene.settled()
    report = await scene.report()
    assert report.problems() == []
    assert len(report.done) == 60
    figure("bodies cut by 3 kills", report.cut)
