"""Clocks of workers and producers that are wrong, or set in mid-run: the store's clock decides."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from asyncqueue.clock import SystemClock

from .checker import comebacks
from .clock_file import ClockFile
from .jobs import Labour
from .scene import LEASE

if TYPE_CHECKING:
    from .conftest import Figure
    from .scene import Scene

pytestmark = pytest.mark.faults

HOUR = "3600"


@pytest.mark.parametrize("shift", [HOUR, f"-{HOUR}"])
async def test_a_worker_whose_clock_is_wrong(
    server_scene: Scene, figure: Figure, shift: str
) -> None:
    """T3: delayed jobs are due by the server's time, and leases hold and run out by it."""
    scene = server_scene
    wrong = await scene.hired("--concurrency", "8", FAULTS_SHIFT=shift)
    dispatched = time.monotonic()
    delayed = await scene.dispatch((Labour(seconds=0.01) for _ in range(5)), delay=2.0)
    long = await scene.labour(2, LEASE * 2)
    await scene.done([*delayed, *long])
    begun = [e.at - dispatched for e in scene.reading.of("started") if e.id in delayed]
    drift = max(abs(at - 2.0) for at in begun)
    assert drift <= 1.0
    orphans = await scene.dispatch([Labour(first=20.0) for _ in range(3)])
    await scene.begun(10)
    await scene.hired("--concurrency", "8")
    scene.kill(wrong)
    await scene.done(orphans)
    await scene.settled()
    report = await scene.report()
    assert report.problems() == []
    assert not report.duplicated
    back = comebacks(report.bodies)
    assert back[0].seconds > LEASE / 2
    assert back[-1].seconds <= LEASE * 1.3 + 0.5
    figure(f"clock {shift} s: due off by (s)", drift)
    figure(f"clock {shift} s: orphans back after (s)", back[-1].seconds)


async def test_workers_whose_clocks_are_two_hours_apart(
    server_scene: Scene, figure: Figure
) -> None:
    """T3: they take nothing from each other; the producer's clock is a third one."""
    scene = server_scene
    for shift in (HOUR, f"-{HOUR}"):
        await scene.hired("--concurrency", "2", FAULTS_SHIFT=shift)
    ids = await scene.labour(6, LEASE * 1.5)
    ids += await scene.labour(40, 0.01, delay=1.0)
    await asyncio.gather(scene.done(ids))
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert len({body.pid for body in report.bodies}) == 2
    figure("run twice, or at once", len(report.duplicated | report.overlapped))


@pytest.mark.parametrize("step", [600.0, -600.0])
async def test_clocks_that_are_set_in_mid_run(
    scene: Scene, figure: Figure, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T3: by ten minutes, while jobs run and wait: a worker's clock and the producer's.

    On SQLite it is the clock of the host, which all share: what is due then is due by it.
    """
    clock = ClockFile(scene.folder / "clock")
    path = {"FAULTS_CLOCK": str(scene.folder / "clock")}
    together = scene.store.kind == "sqlite"
    workers = [
        await scene.hired("--concurrency", "8", **path),
        await scene.hired("--concurrency", "8", **(path if together else {})),
    ]
    real = time.time
    monkeypatch.setattr(SystemClock, "time", staticmethod(lambda: real() + clock.ahead()))
    due: dict[str, float] = {}
    if not together:
        delayed = await scene.dispatch((Labour(seconds=0.01) for _ in range(5)), delay=2.0)
        due |= dict.fromkeys(delayed, time.monotonic() + 2.0)
    long = await scene.labour(10, LEASE * 2)
    await scene.begun(10)
    clock.step(step)
    after = await scene.dispatch((Labour(seconds=0.01) for _ in range(5)), delay=1.0)
    due |= dict.fromkeys(after, time.monotonic() + 1.0)
    await scene.done([*due, *long])
    begun = {e.id: e.at for e in scene.reading.of("started")}
    drift = max(abs(begun[id] - at) for id, at in due.items())
    assert drift <= 1.0
    await scene.settled()
    for worker in workers:
        code, _ = await scene.terminated(worker)
        assert code == 0
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert not report.duplicated
    figure(f"clocks set by {step:g} s: due off by (s)", drift)
    figure(f"clocks set by {step:g} s: run twice", len(report.duplicated))
