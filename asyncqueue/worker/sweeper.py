"""Brings back jobs whose worker died, and removes records past their retention."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from asyncqueue.cancellation import end, heed_cancellation, raise_if_cancelled
from asyncqueue.worker.outage import Outage

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncqueue.drivers.base import Driver
    from asyncqueue.worker.options import Timing

SWEEPS_PER_LEASE: Final = 4


class Sweeper:
    """Sweeps four times a lease and prunes every cleanup interval. Any number may do so.

    Either is left out where the settings say so: no recovery, a cleanup interval of 0.
    """

    def __init__(self, driver: Driver, timing: Timing, log: logging.Logger) -> None:
        self._driver = driver
        self._timing = timing
        self._log = log

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Sweep and prune inside the block."""
        duties: list[asyncio.Task[None]] = []
        if self._timing.recovery:
            sweeping = self._repeat(
                self._sweep, self._timing.lease / SWEEPS_PER_LEASE, "sweep leases"
            )
            duties.append(asyncio.create_task(sweeping, name="asyncqueue-sweeper"))
        if self._timing.cleanup_interval:
            pruning = self._repeat(self._prune, self._timing.cleanup_interval, "prune old records")
            duties.append(asyncio.create_task(pruning, name="asyncqueue-pruner"))
        try:
            yield
        finally:
            for duty in await end(duties):
                self._log.error("The duty %s does not end; it is left alone", duty.get_name())

    async def _repeat(
        self, duty: Callable[[], Awaitable[None]], interval: float, what: str
    ) -> None:
        outage = Outage(what, min(interval, 1.0), self._log)
        while True:
            pause = interval
            try:
                await duty()
                heed_cancellation()
                outage.over()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - none ends it
                raise_if_cancelled(error)
                pause = outage.failed(error)
            await self._driver.clock.sleep(pause)

    async def _sweep(self) -> None:
        returned = await self._driver.sweep()
        if returned:
            self._log.warning("%d jobs come back: the lease of their worker ran out", returned)

    async def _prune(self) -> None:
        removed = await self._driver.prune(self._timing.failed_retention)
        if removed:
            self._log.info("Removed %d records past their retention", removed)
