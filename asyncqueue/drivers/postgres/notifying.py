"""Telling other processes what changed: soon, but seldom."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.postgres.topics import texts
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

INTERVAL: Final = 0.01
"""Seconds between two notifications of one driver."""


class Notifier:
    """Sends the topics of changes, each once however often it came up within an interval.

    A single job may bring its notification along, if none was sent within the interval. All others
    are sent after the commit and not in it: the server takes one lock for all commits that
    notify, and holds it until the commit is on the disk. If the process dies in between, those
    who wait find out at their next look.
    """

    def __init__(self, sender: str, send: Callable[[list[str]], Awaitable[object]]) -> None:
        self._sender = sender
        self._send = send
        self._topics: dict[str, None] = {}
        self._loop = asyncio.get_running_loop()
        self._next_at = 0.0
        """When the interval since the last notification is over, by the clock of the loop."""
        self._task: asyncio.Task[None] | None = None

    def along(self, topics: Iterable[str]) -> str | None:
        """The notification of these topics for a statement to send, if it may do so now."""
        if self._task is not None or self._loop.time() < self._next_at:
            return None
        first, *more = texts(self._sender, topics)
        if more:
            return None
        self._next_at = self._loop.time() + INTERVAL
        return first

    def tell(self, topics: Iterable[str]) -> None:
        """Let others know of these topics."""
        self._topics.update(dict.fromkeys(topics))
        if self._topics and self._task is None:
            self._task = self._loop.create_task(self._tell(), name="asyncqueue-postgres-notifier")

    async def told(self) -> None:
        """Return when all that is to be told was sent."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def close(self, *, heard: bool = True) -> None:
        """Send what is left, unless a server that is silent would not hear it."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._topics and heard:
            await self._send_topics()

    async def _tell(self) -> None:
        try:
            while self._topics:
                wait = self._next_at - self._loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                await self._send_topics()
                self._next_at = self._loop.time() + INTERVAL
        finally:
            self._task = None

    async def _send_topics(self) -> None:
        topics, self._topics = self._topics, {}
        # A server that cannot be told has nobody to tell either; those who wait look by themselves.
        with contextlib.suppress(DriverError):
            await self._send(texts(self._sender, topics))
