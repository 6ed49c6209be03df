"""A driver that swallows cancellations, as code on Python 3.11 may by mistake: the worker stops."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import ClassVar

import pytest

from asyncqueue import Queue, Worker
from asyncqueue.drivers.memory import MemoryDriver

from .jobs import JOURNAL, Labour

LOG = logging.getLogger("tests.worker")


class Swallows(MemoryDriver):
    """Never answers one verb, and answers it when it is cancelled."""

    verb = ""
    on = False
    asked: ClassVar[set[str]] = set()

    async def sweep(self) -> int:
        return await self._answer("sweep", 0)

    async def prune(self, failed_retention: float) -> int:
        return await self._answer("prune", 0, failed_retention)

    async def paused(self) -> list[str]:
        return await self._answer("paused", [])

    async def called_off(self, worker: str) -> list[str]:
        return await self._answer("called_off", [], worker)

    async def extend(self, extensions, lease: float):
        return await self._answer("extend", [], extensions, lease)

    async def _answer(self, verb: str, swallowed, *given):
        if verb == type(self).verb and type(self).on:
            type(self).asked.add(verb)
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return swallowed
        return await getattr(MemoryDriver, verb)(self, *given)


@pytest.mark.parametrize("verb", ["sweep", "prune", "paused", "called_off", "extend"])
async def test_a_worker_stops_all_the_same(monkeypatch, tmp_path, verb: str) -> None:
    """S4: every duty in turn."""
    monkeypatch.setenv(JOURNAL, str(tmp_path / "journal.jsonl"))
    monkeypatch.setattr(Swallows, "verb", verb)
    monkeypatch.setattr(Swallows, "asked", set())
    driver = Swallows()
    queue = Queue(driver)
    await queue.dispatch_many([Labour(seconds=60.0) for _ in range(3)])
    worker = Worker(queue, concurrency=2, prefetch=2, lease=0.3, logger=LOG)
    if verb == "prune":  # It is due at the start, and not again for an hour.
        monkeypatch.setattr(Swallows, "on", True)
    await worker.start()
    monkeypatch.setattr(Swallows, "on", True)
    async with asyncio.timeout(5.0):
        while verb not in Swallows.asked:
            await asyncio.sleep(0.01)
    began = time.monotonic()
    await worker.stop()
    assert time.monotonic() - began < 3.0
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("asyncqueue-")]
    assert left == []
    monkeypatch.setattr(Swallows, "on", False)
    await queue.close()
