"""Servers that restart, crash, fall silent or are not there yet: the worker outlives them all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue import Queue

from .jobs import Labour
from .proxy import Connection, Proxy
from .stores import Store

if TYPE_CHECKING:
    from .conftest import Figure
    from .scene import Scene

pytestmark = pytest.mark.faults

AFTER = 2.0
"""Seconds within which the first job runs once a server is back."""
NOTICED = 15.0
"""Seconds within which a connection that went silent is noticed."""
SLACK = 1.0
"""Seconds that a machine with other things to do may take on top of what is promised."""


def began_after(scene: Scene, moment: float) -> float:
    """When the first body began after this."""
    return min(e.at for e in scene.reading.more() if e.event == "started" and e.at > moment)


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_a_server_that_is_away_for_three_seconds(
    own_scene: Scene, figure: Figure, how: str
) -> None:
    """N1: 300 jobs, and 30 more afterwards; the worker needs no help, and nothing runs twice."""
    scene, server = own_scene, own_scene.store.server
    assert server is not None
    await scene.labour(300)
    worker = await scene.hired(lease=20.0)
    await scene.done(75)
    (server.stop if how == "restart" else server.kill)()
    await asyncio.sleep(3.0)
    server.start()
    back = time.monotonic()
    await scene.until(lambda seen: any(e.at > back for e in seen.of("started")))
    first = began_after(scene, back) - back
    await scene.until(lambda seen: len(seen.ids("finished")) >= 300, 30.0)
    await scene.labour(30)
    await scene.done(330)
    await scene.settled(30.0)
    code, _ = await scene.terminated(worker)
    assert code == 0
    report = await scene.report()
    assert report.problems() == []
    assert not report.duplicated
    assert not report.overlapped
    assert first <= AFTER + SLACK
    figure(f"{how}: first job after (s)", first)
    figure(f"{how}: run twice", len(report.duplicated))


async def test_a_server_that_is_away_for_longer_than_a_lease(
    own_scene: Scene, figure: Figure
) -> None:
    """N1: three workers keep what they run, and none takes it from the others afterwards."""
    scene, server = own_scene, own_scene.store.server
    assert server is not None
    for _ in range(3):
        await scene.hired("--concurrency", "10", lease=6.0)
    await scene.labour(30, 12.0)
    await scene.begun(30)
    server.kill()
    await asyncio.sleep(7.0)
    server.start()
    await scene.done(30)
    await scene.settled(30.0)
    report = await scene.report()
    assert report.problems(faults=False) == []
    figure("run twice (lease 6, away for 7 s)", len(report.duplicated))


async def test_connections_that_fall_silent(server_scene: Scene, figure: Figure) -> None:
    """N3: those that are open pass no byte any more and are not closed; new ones work."""
    scene = server_scene
    with Proxy(scene.store.port) as proxy:
        await scene.labour(300)
        worker = await scene.hired(lease=20.0, port=proxy.port)
        await scene.done(75)
        silenced = proxy.silence()
        fell = time.monotonic()
        await scene.until(lambda seen: any(e.at > fell + 1.0 for e in seen.of("started")))
        noticed = began_after(scene, fell + 1.0) - fell
        await scene.done(300)
        await scene.settled(30.0)
        code, _ = await scene.terminated(worker)
        report = await scene.report()
        assert code == 0
        assert silenced >= 2
        assert report.problems() == []
        assert not report.duplicated
        assert noticed <= NOTICED
        figure("jobs run again after (s)", noticed)
        figure("run twice", len(report.duplicated))


def listens(connection: Connection) -> bool:
    return b"SUBSCRIBE" in connection.said or b"LISTEN" in connection.said


async def test_only_the_listening_connection_falls_silent(
    server_scene: Scene, figure: Figure
) -> None:
    """N4: polling goes on meanwhile, and within 15 s wake-ups come again."""
    scene = server_scene
    with Proxy(scene.store.port) as proxy:
        await scene.hired("--poll-interval", "2s", port=proxy.port)
        assert await pick_up(scene) < 1.0
        assert proxy.silence(listens) >= 1
        fell = time.monotonic()
        while await pick_up(scene) > 0.5:
            assert time.monotonic() - fell < NOTICED + 2.0 + SLACK
        noticed = time.monotonic() - fell
        assert [await pick_up(scene) < 0.5 for _ in range(3)] == [True] * 3
        report = await scene.report()
        assert report.problems(faults=False) == []
        figure("wake-ups come again after (s)", noticed)


async def pick_up(scene: Scene) -> float:
    """How long an idle worker takes to begin a job."""
    await asyncio.sleep(0.3)
    dispatched = time.monotonic()
    (id,) = await scene.dispatch([Labour(seconds=0.0)])
    await scene.done([id])
    return next(e.at for e in scene.reading.of("started") if e.id == id) - dispatched


@pytest.mark.parametrize("which", ["LISTEN", ""])
async def test_sessions_that_an_administrator_ends(
    server_scene: Scene, figure: Figure, which: str
) -> None:
    """N2: first the session that listens, then all of them, three times."""
    scene = server_scene
    if scene.store.kind != "postgres":
        pytest.skip("what redis has of it is in the tests of its driver")
    worker = await scene.hired("--poll-interval", "2s")
    for _ in range(3):
        await scene.labour(20, 0.02)
        async with asyncio.timeout(5.0):
            while not await end_sessions(scene, which):
                await asyncio.sleep(0.02)
    ended = time.monotonic()
    await scene.settled()
    while await pick_up(scene) > 0.1:
        assert time.monotonic() - ended < 5.0 + SLACK
    report = await scene.report()
    code, _ = await scene.terminated(worker)
    assert code == 0
    assert report.problems() == []
    assert not report.duplicated
    assert report.recovered <= report.done
    figure("wake-ups under 0.1 s again after (s)", time.monotonic() - ended)


async def end_sessions(scene: Scene, which: str) -> int:
    connection = await asyncpg.connect(scene.store.url.format(port=scene.store.port).split("?")[0])
    try:
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'asyncqueue' AND query LIKE $1",
            f"{which}%",
        )
        return len(ended)
    finally:
        await connection.close()


async def test_dispatches_while_the_server_is_away(own_scene: Scene, figure: Figure) -> None:
    """N8: each is refused within its bound; the same id again stores no second job."""
    scene, server = own_scene, own_scene.store.server
    assert server is not None
    scene.store.timeout = 2.0
    queue = Queue(settings=scene.store.settings())
    await scene.labour(5, 0.01, on=queue)
    server.pause()
    began = time.monotonic()
    unsure = await scene.labour(20, 0.01, on=queue)
    silent = time.monotonic() - began
    server.resume()
    assert scene.reading.more()
    assert len(scene.reading.of("refused")) == 20
    assert silent <= scene.store.timeout + SLACK
    server.stop()
    began = time.monotonic()
    refused = await scene.labour(20, 0.01, on=queue)
    gone = time.monotonic() - began
    assert gone <= scene.store.timeout + SLACK
    server.start()
    for id in (*unsure, *refused):
        await dispatched_at_last(scene, id, queue)
    await scene.hired()
    await scene.done(45)
    await scene.settled()
    report = await scene.report()
    await queue.close()
    assert report.problems(faults=False) == []
    assert len(report.done) == 45
    figure("refused after (s), server silent", silent)
    figure("refused after (s), server gone", gone)
    figure("stored twice", 0)


async def dispatched_at_last(scene: Scene, id: str, queue: Queue) -> None:
    """Connections that broke cost a call; what was stored before is not stored again."""
    for _ in range(10):
        if await scene.dispatch_again(id, Labour(seconds=0.01), on=queue):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(id)


async def test_started_before_its_server(own_scene: Scene, figure: Figure) -> None:
    """N10: one line is logged, and it begins to work by itself."""
    scene, server = own_scene, own_scene.store.server
    assert server is not None
    await scene.labour(10, 0.01)
    await scene.queue.close()
    server.stop()
    worker = scene.hire()
    await asyncio.to_thread(worker.until, "Cannot reach the store")
    await asyncio.sleep(2.0)
    server.start()
    back = time.monotonic()
    await scene.done(10)
    first = began_after(scene, back) - back
    scene.queue = Queue(settings=scene.store.settings())
    await scene.settled()
    code, _ = await scene.terminated(worker)
    report = await scene.report()
    assert code == 0
    assert report.problems(faults=False) == []
    assert len([line for line in worker.err if "ERROR" in line]) == 1, worker.said
    assert first <= AFTER + SLACK
    figure("first job after (s)", first)


async def test_a_door_that_stays_shut(own_scene: Scene, figure: Figure) -> None:
    """N10: credentials that are wrong today are wrong tomorrow: it ends, and shows no secret."""
    scene, store = own_scene, own_scene.store
    url = {
        "redis": "redis://:wrong-secret@127.0.0.1:{port}/0",
        "postgres": "postgresql://nobody_known:wrong-secret@127.0.0.1:{port}/postgres?schema=a",
    }[store.kind]
    scene.store = Store(kind=store.kind, url=url, port=store.port)
    began = time.monotonic()
    worker = scene.hire()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10.0):
            await scene.ended(worker)
    assert worker.popen.poll() == 1, worker.said
    assert "wrong-secret" not in worker.said
    assert "Traceback" not in worker.said
    figure("ended after (s)", time.monotonic() - began)


async def test_a_name_that_nobody_knows(own_scene: Scene) -> None:
    """N10: it may be known later, so it is tried again; a signal ends that."""
    scene, store = own_scene, own_scene.store
    url = store.url.replace("127.0.0.1:{port}", "nowhere.invalid:{port}")
    scene.store = Store(kind=store.kind, url=url, port=store.port)
    worker = scene.hire()
    await asyncio.to_thread(worker.until, "Cannot reach the store")
    code, seconds = await scene.terminated(worker)
    assert code == 0
    assert seconds <= 6.0


STEPS = 8
"""Calls to the store that a start takes, and one or two more."""


async def test_a_server_that_goes_away_while_a_worker_starts(server_scene: Scene) -> None:
    """N10: the answer to one of its first calls never comes: it starts by itself, a bit later."""
    scene = server_scene
    ids = await scene.labour(10, 0.01)
    for first in range(1, STEPS + 1, 4):
        with contextlib.ExitStack() as ways:
            workers = []
            for step in range(first, first + 4):
                proxy = ways.enter_context(Proxy(scene.store.port))
                proxy.cut_at(step, "before reply")
                workers.append(scene.hire(port=proxy.port))
            for worker in workers:
                await scene.ready(worker)
            for worker in workers:
                code, _ = await scene.terminated(worker)
                assert code == 0, worker.said
    await scene.done(ids)
    await scene.settled()
    assert (await scene.report()).problems() == []
