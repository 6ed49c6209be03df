"""Leases: long jobs, blocked loops, workers that stand still, renewals that do not get through."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from .jobs import Blocking, Gripping, Labour, Soon
from .proxy import Proxy

if TYPE_CHECKING:
    from .checker import Report
    from .conftest import Figure
    from .scene import Scene

pytestmark = pytest.mark.faults


def starts(report: Report) -> list[int]:
    """How often each job began, in no order."""
    ids = [body.id for body in report.bodies]
    return [ids.count(id) for id in set(ids)]


async def test_jobs_beyond_the_lease(scene: Scene, figure: Figure) -> None:
    """L1 and L4: long jobs, long delays and long backoffs start once, and at their time."""
    for _ in range(2):
        await scene.hired(lease=1.5)
    long = await scene.labour(4, 5.0)
    (delayed,) = await scene.dispatch([Labour(seconds=0.01)], delay=3.0)
    (late,) = await scene.dispatch([Soon()])
    await scene.done([*long, delayed, late])
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert sorted(starts(report)) == [1, 1, 1, 1, 1, 2]
    noted = {entry.id: entry for entry in scene.reading.of("acknowledged")}
    begun = next(body.began for body in report.bodies if body.id == delayed)
    drift = begun - (noted[delayed].at + 3.0)
    assert -0.1 <= drift <= 1.0
    first, second = (body for body in report.bodies if body.id == late)
    again = second.began - (first.ended + 3.0)
    assert -0.1 <= again <= 1.0
    figure("starts per job of 5 s (lease 1.5)", 1)
    figure("delayed 3 s: late by (s)", drift)
    figure("backoff of 3 s: late by (s)", again)


async def test_blocked_loops_keep_their_jobs(scene: Scene, figure: Figure) -> None:
    """L2: two workers whose loops are blocked for 2.5 leases, over and over."""
    ids = await scene.dispatch(Blocking(seconds=2.5) for _ in range(4))
    workers = [await scene.hired("--concurrency", "1", lease=1.0) for _ in range(2)]
    await scene.done(ids)
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert starts(report) == [1, 1, 1, 1]
    told = [line for worker in workers for line in worker.err if "is blocked" in line]
    assert told
    assert all("job FaultBlocking" in line and "jobs.py:" in line for line in told)
    figure("starts per job that blocks for 2.5 leases", 1)


async def test_a_lock_that_is_not_let_go_of(scene: Scene, figure: Figure) -> None:
    """L2: no thread can renew. The job runs elsewhere; the late outcome changes nothing."""
    for _ in range(2):
        await scene.hired(lease=1.0)
    (id,) = await scene.dispatch([Gripping(seconds=4.0)])
    await scene.until(lambda seen: len(seen.of("finished")) == 2 and seen.of("stale"))
    await scene.settled()
    report = await scene.report()
    assert report.problems() == []
    assert (report.stale, starts(report)) == (1, [2])
    assert (await scene.queue.status(id)).attempts == 2
    figure("stale settlements refused", report.stale)


async def test_a_worker_that_stood_still(scene: Scene, figure: Figure) -> None:
    """L3: SIGSTOP for 3 leases. Who wakes up finds its jobs in other hands, and lets go of them."""
    ids = await scene.dispatch([*(Labour(seconds=0.8) for _ in range(3)), Labour(first=60.0)])
    first = await scene.hired(lease=1.0)
    await scene.begun(4)
    scene.suspend(first)
    await scene.hired(lease=1.0)
    await scene.done(ids)
    await asyncio.sleep(1.0)
    first.send(signal.SIGCONT)
    # Those that were done as it woke up are refused; the one that was not is cancelled.
    ended = await scene.until(
        lambda seen: sum(e.pid == first.pid for e in seen.of("finished", "cancelled")) == 4, 5.0
    )
    await scene.settled()
    code, _ = await scene.terminated(first)
    report = await scene.report()
    assert code == 0
    assert report.problems() == []
    assert report.cut == 0
    assert all(info.attempts == 2 for info in (await scene.queue.jobs(limit=500)).items)
    overlap = [body for body in report.bodies if body.pid == first.pid]
    assert "cancelled" in [body.how for body in overlap]
    figure("jobs that two had at once", len(report.overlapped))
    figure("stale settlements refused", report.stale)
    figure("bodies let go of within (s)", ended)


@pytest.mark.parametrize("leases", [0.5, 2.0])
async def test_renewals_that_do_not_get_through(
    server_scene: Scene, figure: Figure, leases: float
) -> None:
    """L5: only the heartbeat's way is blocked. Up to half a lease nobody notices."""
    scene, lease = server_scene, 3.0
    ids = await scene.labour(4, lease * 3)
    with Proxy(scene.store.port) as beside:
        way = {"FAULTS_BESIDE": scene.store.at(beside.port)}
        await scene.hired(lease=lease, **way)
        await scene.begun(4)
        await scene.hired(lease=lease)
        beside.stall()
        await asyncio.sleep(leases * lease)
        beside.resume()
        await scene.done(ids)
        await scene.settled()
        report = await scene.report()
        assert report.problems(faults=leases > 0.5) == []
        assert (set(starts(report)) == {1}) is (leases < 1)
        figure(f"blocked for {leases} leases: starts per job", max(starts(report)))
