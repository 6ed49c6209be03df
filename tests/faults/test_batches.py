"""Batches and chains while workers die, servers restart and settlements come twice.

Counters add up; ``then`` and ``catch`` come at most once, ``finally_`` exactly once, none before
its time; each link of a chain once, in order, and its catch once.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import DriverUnavailable

from .linked_checker import Played, batch_problems, chain_problems
from .linked_jobs import Called, Grows, Member

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .conftest import Figure
    from .scene import Scene

pytestmark = pytest.mark.faults

LINKS = 5


class Play:
    """Batches and chains of all kinds, and what is wrong with them in the end."""

    def __init__(self, scene: Scene, seed: int, seconds: float = 0.01) -> None:
        self.scene = scene
        self.seconds = seconds
        self.random = random.Random(seed)
        self.batches: list[Played] = []
        self.chains: dict[str, int | None] = {}

    async def batch(self, size: int, *, bad: float = 0.0, deadly: int = 0) -> Played:
        """Dispatch one of which that share fails; ``deadly`` callbacks end their process first."""
        name = f"batch{len(self.batches)}"
        jobs = [
            Member(f"{name}/{n}", self.random.random() >= bad, self.seconds) for n in range(size)
        ]
        if len(jobs) > 10:
            jobs[3] = Grows(f"{name}/3")
        batch = self.scene.queue.batch(*jobs).named(name)
        batch.then(Called(f"{name}/then", deadly)).catch(Called(f"{name}/catch", deadly))
        batch.finally_(Called(f"{name}/finally", deadly))
        if len(self.batches) % 2:
            batch.allow_failures()
        played = Played(name, (await batch.dispatch()).id)
        self.batches.append(played)
        return played

    async def chain(self, bad: int | None = None) -> None:
        """Dispatch one of which that link fails."""
        name = f"chain{len(self.chains)}"
        links = [Member(f"{name}/{n}", n != bad, self.seconds) for n in range(LINKS)]
        await self.scene.queue.chain(*links).catch(Called(f"{name}/catch")).dispatch()
        self.chains[name] = bad

    async def everything(self, sizes: tuple[int, ...] = (1, 2, 10, 60, 200)) -> None:
        """Some of each."""
        for size in sizes:
            for bad in (0.0, 0.1):
                await self.batch(size, bad=bad)
        for bad in (None, None, 0, 2, LINKS - 1):
            await self.chain(bad)

    async def over(self, patience: float = 90.0) -> None:
        """Return when nothing waits or runs, and all of it is as it was promised."""
        await self.scene.settled(patience)
        entries = self.scene.reading.more()
        problems = [
            problem
            for batch in self.batches
            for problem in await batch_problems(self.scene.queue, entries, batch)
        ]
        for name, bad in self.chains.items():
            problems += chain_problems(entries, name, LINKS, bad)
        assert problems == []


async def ending_workers(
    play: Play, end: Callable[[Any], Awaitable[Any]], times: int, lease: float
) -> None:
    """Let three workers work; end one of them at some instant, so many times, for a new one."""
    scene = play.scene
    staff = [scene.hire("--concurrency", "4", lease=lease) for _ in range(3)]
    await scene.begun(20)
    for _ in range(times):
        await asyncio.sleep(play.random.uniform(0.1, 0.6))
        chosen = play.random.randrange(3)
        await end(staff[chosen])
        staff[chosen] = scene.hire("--concurrency", "4", lease=lease)


@pytest.mark.case("BAT-18", "BAT-20", "CHN-10")
async def test_workers_that_are_killed(scene: Scene, figure: Figure) -> None:
    play = Play(scene, 1, 0.1)
    await play.everything()

    async def kill(worker: Any) -> None:
        scene.kill(worker)

    doomed = await play.batch(50)
    ending = asyncio.create_task(ending_workers(play, kill, 8, lease=1.0))
    await scene.begun(50)
    await scene.queue.cancel_batch(doomed.id)
    await ending
    await play.over()
    assert (await scene.queue.find_batch(doomed.id)).cancelled
    cut = (await scene.report()).cut
    assert cut > 0
    figure("bodies cut by 8 kills", cut)


@pytest.mark.case("CHN-12")
async def test_workers_that_are_stopped(scene: Scene, figure: Figure) -> None:
    play = Play(scene, 2, 0.1)
    await play.everything()
    # What a stopped worker ran is handed back: nobody has to wait for a lease.
    await ending_workers(play, scene.terminated, 5, lease=15.0)
    await play.over()
    interrupted = sum(body.how == "cancelled" for body in (await scene.report()).bodies)
    assert interrupted > 0
    figure("bodies interrupted by 5 stops", interrupted)


async def test_a_thousand_jobs_and_two_kills(scene: Scene, figure: Figure) -> None:
    play = Play(scene, 3)
    await play.batch(1000)
    await play.batch(1000, bad=0.05)
    for done in (300, 900):
        worker = scene.hire("--concurrency", "20")
        await scene.done(done)
        scene.kill(worker)
    scene.hire("--concurrency", "20")
    await play.over()
    figure("bodies cut", (await scene.report()).cut)


@pytest.mark.case("BAT-14")
async def test_settlements_that_come_twice(scene: Scene, figure: Figure) -> None:
    """Once more at once, and once more when many others have come."""
    play = Play(scene, 4)
    await play.everything()
    for _ in range(2):
        scene.hire("--concurrency", "4", FAULTS_REPLAY="1")
    await play.over()
    replayed = scene.reading.of("stale")
    assert len(replayed) > 500
    figure("settlements replayed, none accepted", len(replayed))


@pytest.mark.case("BAT-22", "BAT-29")
async def test_callbacks_that_end_their_process(scene: Scene, figure: Figure) -> None:
    play = Play(scene, 5)
    for size, bad in ((3, 0.0), (3, 1.0), (10, 0.0), (10, 0.4)):
        await play.batch(size, bad=bad, deadly=1)
    supervisor = scene.hire("--processes", "2", lease=1.0)
    await play.over()
    code, _ = await scene.terminated(supervisor)
    assert code == 0, supervisor.said
    deaths = len(scene.reading.of("died"))
    assert deaths >= 2  # One takes others along, whose turn to die it is not then.
    figure("callbacks that ended their process", deaths)


async def test_a_server_that_restarts(own_scene: Scene, figure: Figure) -> None:
    scene, play = own_scene, Play(own_scene, 6)
    await play.everything()
    server = scene.store.server
    assert server is not None
    for _ in range(2):
        scene.hire("--concurrency", "4")
    for begun in (100, 300):
        await scene.begun(begun)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    async with asyncio.timeout(30):
        while True:
            try:
                await scene.queue.ping()
                break
            except DriverUnavailable:
                await asyncio.sleep(0.1)
    await play.over()
    figure("settlements stored before, told after", (await scene.report()).stale)
