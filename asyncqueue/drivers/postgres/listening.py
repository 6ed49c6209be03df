"""Hearing what other processes say, for as long as somebody watches."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.base import Watches
from asyncqueue.drivers.postgres.topics import EVERYTHING, read
from asyncqueue.drivers.postgres.wire import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.wire import Connection

HEALTHY_FOR: Final = 5.0
"""Seconds between two questions to a connection on which nothing is heard."""
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 5.0


class OpenWatches(Watches):
    """The watches of one driver."""

    def for_endings(self) -> bool:
        """Whether somebody waits for a job to finish."""
        return any(topic.startswith("job:") for topic in tuple(self._open))


class Listener:
    """One connection that listens, asked now and then whether it lives, opened anew if not.

    Whoever watches looks at the store himself every poll interval: without this he only looks
    later. So a failure here is nobody's but is tried again, with pauses that grow, for ever.
    """

    def __init__(
        self,
        place: Place,
        channel: str,
        sender: str,
        watches: OpenWatches,
        expect_endings: Callable[[], Awaitable[object]],
    ) -> None:
        self._place = place
        self._channel = channel
        self._sender = sender
        self._watches = watches
        self._expect_endings = expect_endings
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._endings_watched = False
        self.expected_endings = False
        """Whether those who settle were ever asked to tell which jobs finished."""

    def watch(self, topics: frozenset[str]) -> None:
        """Somebody watches these: listen from now on, or as soon as it is possible."""
        if not self._endings_watched and any(topic.startswith("job:") for topic in topics):
            self._endings_watched = True
            self._stirred.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._listen(), name="asyncqueue-postgres-listener"
            )

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _listen(self) -> None:
        failures = 0
        while True:
            with contextlib.suppress(Exception):
                connection = await connect(
                    self._place,
                    tuned=False,
                    timeout=self._place.patience,
                    dsn=self._place.listen_dsn,
                )
                failures = 0
                try:
                    await self._hear(connection)
                finally:
                    connection.terminate()
            pause = min(SHORTEST_PAUSE * 2 ** min(failures, 16), LONGEST_PAUSE)
            failures += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    async def _hear(self, connection: Connection) -> None:
        connection.add_termination_listener(lambda _: self._stirred.set())
        async with asyncio.timeout(self._place.patience):
            await connection.add_listener(self._channel, self._heard)
        while not connection.is_closed():
            self._stirred.clear()
            if self._endings_watched:
                self._endings_watched = self._watches.for_endings()
            if self._endings_watched:
                self.expected_endings = True
                await self._expect_endings()
            # Whatever was said before this moment was said to nobody.
            self._watches.ring_all()
            await self._until_stirred(connection)

    async def _until_stirred(self, connection: Connection) -> None:
        while not self._stirred.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEALTHY_FOR):
                    await self._stirred.wait()
                    return
            async with asyncio.timeout(self._place.patience):
                await connection.fetch("SELECT 1")
            if self._endings_watched:
                return

    def _heard(self, _: object, __: int, ___: str, text: str) -> None:
        told = read(text)
        if told.sender == self._sender:
            return
        if EVERYTHING in told.topics:
            self._watches.ring_all()
        else:
            self._watches.ring(told.topics)
