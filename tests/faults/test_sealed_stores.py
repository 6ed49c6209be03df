"""Keys that are changed under load; and what is encrypted, looked for in all files of a server."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue import Queue, Settings

from ..servers.redis import ask
from .jobs import Confidential, Labour
from .scene import PATIENCE, Scene
from .stores import sqlite_store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..cli.processes import Process
    from .conftest import Figure

pytestmark = pytest.mark.faults

KEYS = [secrets.token_hex(32) for _ in range(4)]
FIRST, SECOND, THIRD, UNKNOWN = range(4)


def environment(*keys: int) -> dict[str, str]:
    """Those keys, for signatures and for encryption; the first one makes them."""
    ring = ",".join(KEYS[key] for key in keys)
    return {"QUEUE_SIGNING_KEYS": ring, "QUEUE_ENCRYPTION_KEYS": ring}


def queue_with(scene: Scene, *keys: int) -> Queue:
    """The queue of the scene, for who holds these keys."""
    ring, store = tuple(KEYS[key] for key in keys), scene.store
    settings = Settings(
        url=store.at(), prefix=store.prefix, signing_keys=ring, encryption_keys=ring
    )
    return Queue(settings=settings)


class Deployment:
    """Two workers and a producer, whose keys are changed one after the other under load."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.ids: list[str] = []
        self._queue = queue_with(scene, FIRST)
        self._workers: list[Process] = []
        self._producing = asyncio.create_task(self._produce())

    async def _produce(self) -> None:
        while True:
            self.ids += await self.scene.dispatch([Labour(seconds=0.02)] * 3, on=self._queue)
            await asyncio.sleep(0.02)

    async def work_with(self, *keys: int) -> None:
        """Give the workers these keys: each is replaced, the other one works meanwhile."""
        former, self._workers = self._workers, []
        for number in range(2):
            self._workers.append(await self.scene.hired(**environment(*keys)))
            if former:
                code, _ = await self.scene.terminated(former[number])
                assert code == 0, former[number].said

    async def dispatch_with(self, *keys: int) -> None:
        """Give the producer these keys; what it has asked for comes with the former ones."""
        former, self._queue = self._queue, queue_with(self.scene, *keys)
        await asyncio.sleep(0.3)
        await former.close()

    async def over(self) -> None:
        """The load ends."""
        self._producing.cancel()
        await asyncio.wait([self._producing])
        assert self._producing.cancelled()
        await self._queue.close()


async def test_three_keys_one_after_the_other_under_load(scene: Scene, figure: Figure) -> None:
    """A3: as the guide says, new keys are accepted, then used, and old ones given up: none is lost.

    Jobs that were sealed with the first key run as long as it is accepted.
    """
    deployment = Deployment(scene)
    await deployment.work_with(FIRST)
    with_first = queue_with(scene, FIRST)
    late = await scene.dispatch([Labour(seconds=0.0)] * 5, on=with_first, delay=3600)
    await deployment.work_with(FIRST, SECOND)
    await deployment.dispatch_with(SECOND, FIRST)
    await deployment.work_with(SECOND, FIRST, THIRD)
    await deployment.dispatch_with(THIRD, SECOND, FIRST)
    await deployment.work_with(THIRD, SECOND, FIRST)
    # What was sealed with the first key is let through now, and only then is it given up.
    for id in late:
        assert await scene.queue.cancel(id)
    early = await scene.dispatch([Labour(seconds=0.0)] * 5, on=with_first)
    await scene.done(early)
    await with_first.close()
    await scene.done(list(deployment.ids))
    await deployment.work_with(THIRD)
    await deployment.over()
    await scene.done(deployment.ids)
    await scene.settled()
    report = await scene.report()
    assert report.problems(faults=False) == []
    assert report.dead == set(late)
    assert set(report.effects.values()) == {1}
    # Whoever comes with another key, or with one that was given up, runs nothing.
    for key in (UNKNOWN, FIRST):
        async with queue_with(scene, key) as stranger:
            (refused,) = await scene.dispatch([Labour(seconds=0.0)], on=stranger)
            await scene.settled()
            assert (await scene.queue.failed.get(refused)).error.startswith("SignatureInvalid: ")
    figure("jobs during three keys, none lost", len(report.done))


async def fill(scene: Scene, secret: str, *keys: int) -> str:
    """Jobs with a secret: done, failed, waiting, in a chain; answers what their worker said."""
    async with queue_with(scene, *keys) as queue:
        jobs = [Confidential(f"{secret}-1"), Confidential(f"{secret}-2", fails=True)]
        ids = await scene.dispatch(jobs, on=queue)
        await scene.dispatch([Confidential(f"{secret}-3")], on=queue, delay=3600)
        chain = queue.chain(Labour(seconds=0.0), Confidential(f"{secret}-4"))
        await chain.catch(Confidential(f"{secret}-5")).dispatch()
        worker = await scene.hired("--log-level", "DEBUG", **(environment(*keys) if keys else {}))
        async with asyncio.timeout(PATIENCE):
            while (counts := (await queue.stats())["default"]).pending + counts.processing:
                await asyncio.sleep(0.05)
        assert [(await queue.status(id)).state for id in ids] == ["completed", "failed"]
        code, _ = await scene.terminated(worker)
        assert code == 0
    return worker.said


def found(secret: str, files: Iterable[Path]) -> list[Path]:
    """The files in which it stands."""
    return [path for path in files if path.is_file() and secret.encode() in path.read_bytes()]


async def search(scene: Scene, folder: Path) -> tuple[int, list[str]]:
    """How many files have a secret that is not sealed; and where one that is sealed shows."""
    open_secret, sealed_secret = secrets.token_hex(12), secrets.token_hex(12)
    await fill(scene, open_secret)
    said = await fill(scene, sealed_secret, FIRST)
    await to_disk(scene)
    files = [path for path in folder.rglob("*") if path != scene.journal.path]
    shown = [str(path) for path in found(sealed_secret, files)]
    assert sealed_secret not in said
    return len(found(open_secret, files)), shown


async def to_disk(scene: Scene) -> None:
    """All that a server has in memory, written to its files."""
    if scene.store.kind == "redis":
        assert ask(scene.store.port, "SAVE").startswith("+OK")
        assert ask(scene.store.port, "BGREWRITEAOF").startswith("+")
    elif scene.store.kind == "postgres":
        url = scene.store.url.format(port=scene.store.port).split("?", maxsplit=1)[0]
        connection = await asyncpg.connect(url)
        await connection.execute("CHECKPOINT")
        await connection.close()


async def test_no_file_of_a_server_has_what_is_encrypted(own_scene: Scene, figure: Figure) -> None:
    """A5: neither tables nor their log, neither dump nor append-only file, nor what workers say."""
    server = own_scene.store.server
    assert server is not None
    count, shown = await search(own_scene, server.folder)
    assert shown == []
    # The same search finds what is not encrypted: in tables and log, in dump and append-only file.
    assert count >= 2
    figure("files with what is not encrypted, of those searched", count)


async def test_no_file_beside_a_database_has_what_is_encrypted(tmp_path: Path) -> None:
    """A5: on SQLite the file itself and the log beside it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    async with Scene(tmp_path / "scene", sqlite_store(disk)) as scene:
        count, shown = await search(scene, disk)
    assert shown == []
    assert count >= 1
