"""The experiments of the report card: each takes a scene and answers what a row of it shows.

300 jobs of 50 ms, dispatched before the start; one worker with its default concurrency. What is not
said is at its default, as it was for the others.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from tests.faults.checker import Report
    from tests.faults.jobs import Blocking, Labour
    from tests.faults.scene import Scene
    from tests.servers.process import ServerProcess

JOBS = 300
WATCHED = 90.0
"""Seconds after which a job that has not run counts as not run."""
Row = dict[str, float | int | str]


async def finished(scene: Scene, count: int = JOBS) -> Report:
    """What became of all, as soon as that is known, or after the time that is watched."""
    try:
        await scene.done(count, WATCHED)
        await scene.settled(10.0)
    except (AssertionError, TimeoutError):
        pass  # The row shows it.
    report = await scene.report()
    for problem in report.problems():
        print(f"PROBLEM on {scene.store.kind}: {problem}", flush=True)
    return report


def outcome(report: Report, since: float) -> Row:
    """The columns that most rows have."""
    ends = [body.ended for body in report.bodies if body.how == "finished"]
    return {
        "not run": len(report.acknowledged - report.done - report.dead),
        "all done after": max(ends) - since,
        "run twice": len(report.duplicated),
    }


async def killed_twice(scene: Scene, lease: float) -> Row:
    await scene.labour(JOBS)
    killed = 0.0
    for quarter in (JOBS // 4, JOBS // 2):
        worker = scene.hire(lease=lease)
        await scene.done(quarter)
        # The journal tells of ends, so a kill would always come just after one.
        await asyncio.sleep(random.uniform(0.0, 0.05))
        killed = scene.kill(worker)
        await asyncio.sleep(0.3)
    scene.hire(lease=lease)
    report = await finished(scene)
    return {"bodies cut": report.cut} | outcome(report, killed)


async def stopped_twice(scene: Scene) -> Row:
    await scene.labour(JOBS)
    gone: list[float] = []
    codes: list[int] = []
    for quarter in (JOBS // 4, JOBS // 2):
        worker = scene.hire(lease=30.0)
        await scene.done(quarter)
        code, seconds = await scene.terminated(worker)
        gone.append(seconds)
        codes.append(code)
        await asyncio.sleep(0.3)
    began = time.monotonic()
    scene.hire(lease=30.0)
    report = await finished(scene)
    cancelled = sum(body.how == "cancelled" for body in report.bodies)
    return {
        "gone after": max(gone),
        "exit codes": ", ".join(map(str, sorted(set(codes)))),
        "cancelled": cancelled,
    } | outcome(report, began)


async def server_away(scene: Scene, how: str) -> Row:
    server = server_of(scene)
    await scene.labour(JOBS)
    await scene.hired(lease=30.0)
    await scene.done(JOBS // 4)
    (server.stop if how == "restart" else server.kill)()
    await asyncio.sleep(3.0)
    server.start()
    back = time.monotonic()
    await scene.until(lambda seen: any(e.at > back for e in seen.of("started")), WATCHED)
    await scene.until(lambda seen: len(seen.ids("finished")) >= JOBS, WATCHED)
    await scene.labour(30)
    report = await finished(scene, JOBS + 30)
    first = min(body.began for body in report.bodies if body.began > back) - back
    return {"first job after": first} | outcome(report, back)


async def black_hole(scene: Scene) -> Row:
    with Proxy(scene.store.port) as proxy:
        await scene.labour(JOBS)
        await scene.hired(lease=30.0, port=proxy.port)
        await scene.done(JOBS // 4)
        proxy.silence()
        fell = time.monotonic()
        report = await finished(scene)
        # What it had in hand goes on for a moment; then nothing is heard for a while.
        first = min(body.began for body in report.bodies if body.began > fell + 1.0) - fell
        return {"goes on after": first} | outcome(report, fell)


async def long_jobs(scene: Scene, job: type[Labour | Blocking]) -> Row:
    """4 jobs of 20 s, leases of 5 s, two workers."""
    await scene.dispatch(job(seconds=20.0) for _ in range(4))
    for _ in range(2):
        scene.hire(lease=5.0)
    report = await finished(scene, 4)
    ids = [body.id for body in report.bodies]
    starts = sorted((ids.count(id) for id in set(ids)), reverse=True)
    return {"starts per job": " ".join(map(str, starts)), "run twice": len(report.duplicated)}


def server_of(scene: Scene) -> ServerProcess:
    """The server, which the store must have."""
    if scene.store.server is None:
        raise ValueError(f"{scene.store.kind} has no server")
    return scene.store.server
