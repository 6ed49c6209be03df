"""Hands prefetched jobs back when their queue is paused."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from asyncqueue.cancellation import end, heed_cancellation, raise_if_cancelled
from asyncqueue.worker.outage import Outage

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Sequence

    from asyncqueue.drivers.base import Driver
    from asyncqueue.worker.consumer import Consumer

LOOK: Final = 0.25
"""Seconds between two looks at which queues are paused."""


class Pauses:
    """Asks which queues are paused while a pool holds jobs that have not started.

    A pause rings the watches of its queue, so the first look after a quiet time comes at once.
    But so does every new job: however many there are, the store is asked four times a second at
    most, and never where nothing waits here.
    """

    def __init__(self, driver: Driver, consumers: Sequence[Consumer], log: logging.Logger) -> None:
        self._driver = driver
        self._consumers = consumers
        self._outage = Outage("look which queues are paused", LOOK, log)

    @contextlib.asynccontextmanager
    async def minded(self) -> AsyncGenerator[None]:
        """Look inside the block."""
        minding = asyncio.create_task(self._mind(), name="asyncqueue-pauses")
        try:
            yield
        finally:
            await end([minding])

    async def _mind(self) -> None:
        queues = {queue for consumer in self._consumers for queue in consumer.sources}
        with self._driver.watch(f"queue:{queue}" for queue in queues) as watch:
            while True:
                await watch.wait(LOOK)
                watch.clear()
                await asyncio.sleep(await self._look())

    async def _look(self) -> float:
        """Hand back what is paused; answers the seconds until the next look."""
        if not any(consumer.holds_unstarted for consumer in self._consumers):
            return LOOK
        try:
            paused = frozenset(await self._driver.paused())
            heed_cancellation()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - none ends the looks
            raise_if_cancelled(error)
            return self._outage.failed(error)
        self._outage.over()
        if paused:
            for consumer in self._consumers:
                consumer.hand_back_paused(paused)
        return LOOK
