"""The open store behind a queue, and what all of its calls need."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncqueue.after_commit import refuse_in_transaction
from asyncqueue.errors import JobNotFound, QueueClosed
from asyncqueue.record import Filter, StoredJob
from asyncqueue.sealing import seal_of

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.listeners import Listeners
    from asyncqueue.registry import Registry
    from asyncqueue.settings import Settings


class Access:
    """A store that opens itself on first use, and closes what it opened itself."""

    def __init__(
        self,
        driver: Driver,
        settings: Settings,
        registry: Registry,
        listeners: Listeners,
        *,
        owns_driver: bool,
    ) -> None:
        self.driver = driver
        self.settings = settings
        self.registry = registry
        self.seal = seal_of(settings.signing_keys, settings.encryption_keys, settings.max_payload)
        self.listeners = listeners
        self._owns_driver = owns_driver
        self._opening: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._open = False
        self._closed = False

    async def ready(self) -> Driver:
        """The open driver; opens it on first use."""
        if self._open:
            return self.driver
        self._refuse_if_closed()
        async with self._turn_to_open():
            if not self._open:
                await self.driver.open()
                if self._closed:  # Meanwhile.
                    await self._close_driver()
                self._refuse_if_closed()
                self._open = True
        return self.driver

    def _turn_to_open(self) -> asyncio.Lock:
        """One opens it for all of an event loop; drivers for several loops bear several."""
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening[0] is not loop:
            self._opening = loop, asyncio.Lock()
        return self._opening[1]

    async def ready_to_write(self, call: str) -> Driver:
        """As :meth:`ready`, for a call that writes and joins no transaction."""
        refuse_in_transaction(self.driver, call)
        return await self.ready()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise QueueClosed("This queue was closed; build a new Queue to go on.")

    async def _close_driver(self) -> None:
        if self._owns_driver:
            await self.driver.close()

    async def _find(self, id: str) -> StoredJob:
        driver = await self.ready()
        found = await driver.find(Filter(ids=(id,)), limit=1)
        if not found.items:
            raise JobNotFound(
                f"No job {id!r}: it was never stored here, or its record is past its retention."
            )
        return found.items[0]
