"""SIGTERM, at whatever moment and whatever handlers do: a prompt end, and nothing is held."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from .jobs import Labour, Mannered, Plain
from .proxy import Proxy

if TYPE_CHECKING:
    from ..cli.processes import Process
    from .conftest import Figure
    from .scene import Scene

pytestmark = pytest.mark.faults

STOP = 6.0
"""Seconds within which a worker ends, whatever its handlers do with their cancellation."""
SLACK = 1.5
"""Seconds that a machine with other things to do may take on top of what is promised."""


async def counts(scene: Scene) -> dict[str, int]:
    found = (await scene.queue.stats()).values()
    return {
        name: sum(getattr(one, name) for one in found)
        for name in ("pending", "delayed", "processing", "completed", "failed")
    }


async def test_stopped_twice(scene: Scene, figure: Figure) -> None:
    """S1: whatever was running is back at once; in the end every job has had one effect."""
    ids = await scene.labour(300)
    for quarter in (75, 150):
        worker = scene.hire()
        await scene.done(quarter)
        code, seconds = await scene.terminated(worker)
        assert code == 0
        assert seconds <= STOP + SLACK
        assert (await counts(scene))["processing"] == 0
        figure(f"ended after (s), job {quarter}", seconds)
    await scene.hired()
    began = time.monotonic()
    await scene.done(ids)
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert all(info.attempts == 1 for info in (await scene.queue.jobs(limit=500)).items)
    figure("bodies cancelled", sum(body.how == "cancelled" for body in report.bodies))
    figure("all done after (s)", time.monotonic() - began)


KINDS = {
    # job, state after the stop, attempts, seconds at most, warnings
    "heeds": (Mannered(manner="heeds"), "pending", 0, 1.0, 0),
    "returns": (Mannered(manner="returns"), "completed", 1, 1.0, 0),
    "cleans up": (Mannered(manner="cleans up"), "pending", 0, 1.5, 0),
    "raises": (Mannered(manner="raises"), "pending", 0, 1.0, 1),
    "ignores": (Mannered(manner="ignores"), "processing", 1, STOP, 1),
    "blocks": (Mannered(manner="blocks"), "completed", 1, 4.0, 0),
    "plain": (Plain(seconds=2.0), "completed", 1, 3.0, 0),
    "long and plain": (Plain(seconds=30.0), "processing", 1, STOP, 1),
}


@pytest.mark.case("SHD-16", "SHD-17")
async def test_the_table_by_kinds_of_handlers(scene: Scene, figure: Figure) -> None:
    """S2: one worker for each kind, all stopped at the same time."""
    workers = {kind: scene.hire("--queue", kind.replace(" ", "_"), lease=60.0) for kind in KINDS}
    for worker in workers.values():
        await scene.ready(worker)
    ids = {}
    for kind, (job, *_) in KINDS.items():
        (ids[kind],) = await scene.dispatch([job], queue=kind.replace(" ", "_"))
    await scene.begun(len(KINDS))
    ends = await asyncio.gather(*map(scene.terminated, workers.values()))
    for (kind, worker), (code, seconds) in zip(workers.items(), ends, strict=True):
        _, state, attempts, bound, warnings = KINDS[kind]
        info = await scene.queue.status(ids[kind])
        assert (kind, code, info.state, info.attempts) == (kind, 0, state, attempts)
        assert seconds <= bound + SLACK, kind
        assert warnings_of(worker, kind) == warnings, worker.said
        figure(f"{kind}: ended after (s)", seconds)
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert not scene.reading.of("called"), "a failed hook was called"


def warnings_of(worker: Process, kind: str) -> int:
    what = {"raises": "raised while the worker stops"}.get(kind, "ignores its cancellation")
    return sum(what in line for line in worker.err)


async def test_stopped_at_any_moment(scene: Scene, figure: Figure) -> None:
    """S3: while it starts, connects, claims, runs, settles and waits; I1 and I9 hold."""
    random.seed(3)
    ids = await scene.labour(60, 0.1)
    slowest = 0.0
    moments = [0.3, 0.6, *(random.uniform(0.0, 0.6) for _ in range(5))]
    for n, moment in enumerate(moments):
        worker = scene.hire("--concurrency", "5") if n < 2 else await scene.hired("--concurrency=5")
        await asyncio.sleep(moment)
        code, seconds = await scene.terminated(worker)
        # Its interpreter may not have got to our code by the first ones.
        assert code == 0 or (n < 2 and code == -signal.SIGTERM)
        assert not any("Traceback" in line for line in worker.err), worker.said
        assert (await counts(scene))["processing"] == 0
        slowest = max(slowest, seconds)
    assert slowest <= STOP + SLACK
    await scene.hired()
    await scene.done(ids)
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    figure("slowest of 7 stops (s)", slowest)


async def test_stopped_while_a_claim_is_under_way(server_scene: Scene, figure: Figure) -> None:
    """S5: what the late answer brings is claimable within a second of the end."""
    scene = server_scene
    with Proxy(scene.store.port) as proxy:
        worker = await scene.hired(lease=30.0, port=proxy.port)
        proxy.hold(0.2, "from")
        ids = await scene.labour(10)
        await asyncio.sleep(0.1)
        code, seconds = await scene.terminated(worker)
        ended = time.monotonic()
        assert code == 0
        assert seconds <= STOP + SLACK
        assert (await counts(scene))["processing"] == 0
        await scene.hired(lease=30.0)
        await scene.done(ids, 5.0)
        report = await scene.report()
        assert report.problems(faults=False) == []
        claimable = min(body.began for body in report.bodies) - ended
        figure("ended after (s), with replies 0.2 s late", seconds)
        figure("run by another after (s), its start included", claimable)


@pytest.mark.parametrize("how", ["silent", "gone"])
async def test_stopped_while_the_store_is_away(
    server_scene: Scene, figure: Figure, how: str
) -> None:
    """S6: the end does not wait for the store, and the jobs come back by their leases."""
    scene = server_scene
    with Proxy(scene.store.port) as proxy:
        ids = await scene.dispatch([Labour(first=30.0) for _ in range(5)])
        worker = await scene.hired(port=proxy.port)
        await scene.begun(5)
        if how == "silent":
            proxy.black_hole()
        else:
            proxy.refuse()
            proxy.cut()
        code, seconds = await scene.terminated(worker)
        assert code == 0, worker.said
        assert seconds <= STOP + 0.5
        proxy.mend()
        await scene.hired()
        await scene.done(ids, 10.0)
        await scene.settled()
        report = await scene.report()
        assert report.problems() == []
        figure(f"store {how}: ended after (s)", seconds)


async def test_an_impatient_supervisor(scene: Scene, figure: Figure) -> None:
    """S7: SIGKILL soon after SIGTERM; and a second SIGTERM, which skips the grace."""
    ids = await scene.dispatch([Mannered(manner="ignores", seconds=3.0) for _ in range(2)])
    killed = await scene.hired("--grace", "1h")
    await scene.begun(2)
    killed.send(signal.SIGTERM)
    await asyncio.sleep(0.5)
    scene.kill(killed)
    second = await scene.hired("--grace", "1h")
    await scene.done(ids, 15.0)
    heeding = await scene.dispatch([Mannered(manner="heeds", seconds=60.0)])
    await scene.begun(5)
    second.send(signal.SIGTERM)
    await asyncio.to_thread(second.until, "stopping")
    await asyncio.sleep(0.6)  # Those that come together count as one.
    code, seconds = await scene.terminated(second)
    assert code == 0
    assert seconds <= 1.0 + SLACK
    info = await scene.queue.status(heeding[0])
    assert (info.state, info.attempts) == ("pending", 0)
    report = await scene.report()
    assert report.problems() == []
    assert report.waiting == set(heeding)
    figure("second SIGTERM: ended after (s)", seconds)
