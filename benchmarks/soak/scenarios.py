"""The long scenarios. Each answers what is wrong, and prints its figures."""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.checker import comebacks
from tests.faults.jobs import Labour
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.cli.processes import Process
    from tests.faults.checker import Report
    from tests.faults.scene import Scene

PATIENCE = 120.0


class Soak:
    """A scene, for how long, and where chance comes from."""

    def __init__(self, scene: Scene, seconds: float, chance: random.Random) -> None:
        self.scene = scene
        self.seconds = seconds
        self.chance = chance
        self.ends = math.inf

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.ends

    async def hired(self, *options: str, **given: Any) -> Process:
        """A worker. The time begins when the last of them takes jobs."""
        worker = await self.scene.hired(*options, **given)
        self.ends = time.monotonic() + self.seconds
        return worker

    async def produce(self, per_second: float, *, longest: float = 0.2, fails: float = 0.05) -> int:
        """Dispatch until the time is over; answers how many."""
        count, began = 0, time.monotonic()
        while not self.over:
            due = int((time.monotonic() - began) * per_second) - count
            jobs = [
                Labour(
                    seconds=self.chance.uniform(0, longest),
                    fails=int(self.chance.random() < fails),
                )
                for _ in range(due)
            ]
            await self.scene.dispatch(jobs, backoff=0.1)
            count += due
            await asyncio.sleep(0.1)
        return count

    async def finished(self) -> Report:
        """Wait for all that was dispatched, and look."""
        scene = self.scene
        await scene.until(lambda seen: seen.ids("acknowledged") <= seen.ids("finished"), PATIENCE)
        await scene.settled(PATIENCE)
        report = await scene.report()
        effects = Counter(report.effects.values())
        show("jobs", len(report.acknowledged))
        show("refused dispatches", len(report.attempted - report.acknowledged))
        show("effects per job", dict(sorted(effects.items())))
        show("bodies cut", report.cut)
        show("stale settlements refused", report.stale)
        back = [one.seconds for one in comebacks(report.bodies) if one.began < math.inf]
        if len(back) > 1:
            show("recovery p50, p99 (s)", [f"{at(back, p):.2f}" for p in (50, 99)])
        return report


def show(what: str, value: object) -> None:
    """A figure."""
    print(f"{what:40} {value}", flush=True)


def at(values: list[float], percent: int) -> float:
    """A percentile."""
    return statistics.quantiles(values, n=100)[percent - 1]


async def kills(soak: Soak) -> list[str]:
    """C5: workers are killed at any moment, one every six seconds, under load."""
    scene = soak.scene
    workers = [await soak.hired(lease=3.0) for _ in range(3)]
    producing = asyncio.create_task(soak.produce(60))
    count = 0
    while not soak.over:
        await asyncio.sleep(soak.chance.uniform(1.0, 11.0))
        victim = soak.chance.randrange(len(workers))
        scene.kill(workers[victim])
        workers[victim] = scene.hire(lease=3.0)
        count += 1
    await producing
    report = await soak.finished()
    show("kills", count)
    return report.problems()


async def rolling(soak: Soak) -> list[str]:
    """S9: a rolling deploy without end: a worker is stopped and another started, over and over."""
    scene = soak.scene
    workers = [await soak.hired() for _ in range(2)]
    producing = asyncio.create_task(soak.produce(60, fails=0.0))
    stops: list[float] = []
    codes: Counter[int] = Counter()
    while not soak.over:
        new = await scene.hired()
        code, seconds = await scene.terminated(workers.pop(0))
        workers.append(new)
        stops.append(seconds)
        codes[code] += 1
        await asyncio.sleep(soak.chance.uniform(0.0, 4.0))
    await producing
    report = await soak.finished()
    show("stops, slowest (s)", f"{len(stops)}, {max(stops, default=0.0):.2f}")
    wrong = [] if set(codes) == {0} else [f"exit codes {dict(codes)}"]
    return report.problems(faults=False) + wrong


async def restarts(soak: Soak) -> list[str]:
    """N1: the server is restarted or killed again and again, for up to 20 s each time."""
    scene, server = soak.scene, soak.scene.store.server
    if server is None:
        return ["sqlite has no server"]
    worker = await soak.hired(lease=60.0)
    producing = asyncio.create_task(soak.produce(40))
    first: list[float] = []
    while not soak.over:
        await asyncio.sleep(soak.chance.uniform(2.0, 8.0))
        soak.chance.choice([server.stop, server.kill])()
        await asyncio.sleep(soak.chance.choice([0.5, 3.0, 20.0]))
        server.start()
        back = time.monotonic()
        await scene.labour(1, 0.0)
        await scene.until(lambda seen, back=back: any(e.at > back for e in seen.of("started")))
        first.append(time.monotonic() - back)
    await producing
    report = await soak.finished()
    show("restarts, slowest first job after (s)", f"{len(first)}, {max(first, default=0.0):.2f}")
    return report.problems() + ended(worker)


async def slow(soak: Soak) -> list[str]:
    """N7: a slow way to the server: 150 ms each way, and stalls of 5 s."""
    scene = soak.scene
    if scene.store.server is None:
        return ["sqlite has no server"]
    with Proxy(scene.store.port) as proxy:
        proxy.hold(0.15)
        worker = await soak.hired(lease=30.0, port=proxy.port)
        producing = asyncio.create_task(soak.produce(20))
        while not soak.over:
            await asyncio.sleep(soak.chance.uniform(5.0, 15.0))
            proxy.stall()
            await asyncio.sleep(4.0)
            proxy.resume()
        await producing
        report = await soak.finished()
        show("exchanges", proxy.exchanges)
        return report.problems() + ended(worker)


async def cuts(soak: Soak) -> list[str]:
    """C6: the connection ends after the k-th request, or before its reply, for every k."""
    scene = soak.scene
    if scene.store.server is None:
        return ["sqlite has no connections"]
    with Proxy(scene.store.port) as proxy:
        worker = await soak.hired(lease=4.0, port=proxy.port)
        count = 0
        while not soak.over:
            count += 1
            proxy.cut_at(soak.chance.randint(1, 12), soak.chance.choice(WHEN))
            await scene.labour(3, 0.01)
            await asyncio.sleep(0.25)
        proxy.mend()
        report = await soak.finished()
        show("cuts", count)
        return report.problems() + ended(worker)


WHEN = ("after request", "before reply")


async def idle(soak: Soak) -> list[str]:
    """N5: nothing to do for long; connections are ended by the server. Nobody is woken by it."""
    scene = soak.scene
    worker = await soak.hired()
    with Proxy(scene.store.port) if scene.store.server else contextlib.nullcontext() as proxy:
        patient = await soak.hired(port=proxy.port if proxy else None)
        while not soak.over:
            await asyncio.sleep(10.0)
            if proxy:
                proxy.cut()
    lines = [line for line in worker.err if " DEBUG " not in line]
    show("lines logged by who was left alone", len(lines))
    await scene.labour(10)
    report = await soak.finished()
    return report.problems(faults=False) + ended(worker) + ended(patient) + lines[1:]


async def memory(soak: Soak) -> list[str]:
    """R1: half of what it can, for long; memory, descriptors and threads stay where they were."""
    worker = await soak.hired("--concurrency", "25")
    producing = asyncio.create_task(soak.produce(300, longest=0.02, fails=0.02))
    samples: list[tuple[float, int, int]] = []
    while not soak.over:
        await asyncio.sleep(max(soak.seconds / 60, 1.0))
        samples.append(taken(worker))
    await producing
    report = await soak.finished()
    settled = samples[len(samples) // 4 :]
    grown = settled[-1][0] - settled[0][0]
    jobs = len(report.acknowledged) * 0.75
    slope = grown / jobs * 100_000
    show("resident memory (MiB), first and last", [f"{settled[n][0]:.1f}" for n in (0, -1)])
    show("grown by (MiB per 100,000 jobs)", f"{slope:.2f}")
    show("descriptors, threads", [settled[-1][1:], settled[0][1:]])
    leaks = ["descriptors leak"] if settled[-1][1] > settled[0][1] + 5 else []
    return report.problems(faults=False) + leaks + ended(worker)


def taken(worker: Process) -> tuple[float, int, int]:
    """MiB, open descriptors and threads of a process."""
    place = Path(f"/proc/{worker.pid}")
    pages = int((place / "statm").read_text().split()[1])
    return pages / 256, *(sum(1 for _ in (place / name).iterdir()) for name in ("fd", "task"))


async def orphans(soak: Soak) -> list[str]:
    """C4: 2,000 orphans at once; and whoever sweeps is killed, too."""
    scene = soak.scene
    await scene.dispatch(Labour(first=600.0, seconds=0.0) for _ in range(2000))
    first = await scene.hired("--concurrency", "2000", lease=5.0)
    await scene.begun(2000, PATIENCE)
    scene.kill(first)
    second = await scene.hired("--concurrency", "50", lease=5.0)
    await scene.until(lambda seen: len(seen.of("started")) > 2100, PATIENCE)
    scene.kill(second)
    began = time.monotonic()
    await scene.hired("--concurrency", "50", lease=5.0)
    report = await soak.finished()
    show("all run after (s)", f"{time.monotonic() - began:.1f}")
    return report.problems()


async def overload(soak: Soak) -> list[str]:
    """B4: ten times more than it can, then a drain; memory is bounded, the oldest come first."""
    scene = soak.scene
    worker = await soak.hired()
    await soak.produce(1000, longest=0.1, fails=0.0)
    size = len(scene.reading.more())
    high = taken(worker)[0]
    began, done = time.monotonic(), len(scene.reading.ids("finished"))
    report = await soak.finished()
    rate = (len(report.done) - done) / (time.monotonic() - began)
    show("resident memory under load (MiB)", f"{high:.1f}")
    show("lines of journal at its end", size)
    show("drained at (jobs/s)", f"{rate:.0f}")
    return report.problems(faults=False) + ended(worker)


def ended(worker: Process) -> list[str]:
    """A problem, where a worker that was not to end has ended."""
    code = worker.popen.poll()
    return [] if code is None else [f"a worker ended with exit code {code}"]


SCENARIOS: dict[str, Callable[[Soak], Awaitable[list[str]]]] = {
    scenario.__name__: scenario
    for scenario in (
        kills,
        rolling,
        restarts,
        slow,
        cuts,
        idle,
        memory,
        orphans,
        overload,
    )
}
