"""Listens to a queue, keeps what it said, and waits for what it is going to say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from asyncqueue import Event
from asyncqueue.events import JobEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue import Queue

E = TypeVar("E", bound=Event)
PATIENCE = 30.0
"""Real seconds after which a wait in a test has failed, however busy the machine is."""


class Recorder:
    """All events of a queue, in order."""

    def __init__(self, queue: Queue) -> None:
        self.all: list[Event] = []
        self._heard = asyncio.Event()
        queue.on(Event, self._hear)

    def _hear(self, event: Event) -> None:
        self.all.append(event)
        self._heard.set()

    def of(self, event_type: type[E], job_id: str | None = None) -> list[E]:
        """Those of one type, and of one job if given."""
        return [
            event
            for event in self.all
            if isinstance(event, event_type)
            and (job_id is None or getattr(event, "job_id", None) == job_id)
        ]

    def of_jobs(self) -> list[str]:
        """The types of all job events, in order."""
        return [type(event).__name__ for event in self.of(JobEvent)]

    async def wait_for(self, event_type: type[E], count: int = 1) -> list[E]:
        """Wait until that many of this type were heard."""
        async with asyncio.timeout(PATIENCE):
            while len(self.of(event_type)) < count:
                self._heard.clear()
                await self._heard.wait()
        return self.of(event_type)


async def until(condition: Callable[[], Any], patience: float = PATIENCE) -> None:
    """Wait until the condition holds; for what sends no event."""
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.002)
