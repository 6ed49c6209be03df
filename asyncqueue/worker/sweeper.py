"""Brings back jobs whose worker died, and removes records past their retention."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from asyncqueue.cancellation import end, heed_cancellation, raise_if_cancelled
from asyncqueue.errors import DriverUnavailable
from asyncqueue.worker.heartbeat import BEATS_PER_LEASE
from asyncqueue.worker.outage import Outage

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncqueue.drivers.base import Driver
    from asyncqueue.worker.options import Timing

SWEEPS_PER_LEASE: Final = 4
STANDSTILL: Final = 5.0
"""Seconds, and at least a beat, by which a sweep is late where the machine stood still."""


class Sweeper:
    """Sweeps four times a lease and prunes every cleanup interval. Any number may do so.

    Either is left out where the settings say so: no recovery, a cleanup interval of 0.

    When the store was away, or the machine stood still, leases ran out that their holders could
    not renew. The first sweep after that waits for a third of the lease: so they are renewed, and
    what runs does not run once more elsewhere.
    """

    def __init__(self, driver: Driver, timing: Timing, log: logging.Logger) -> None:
        self._driver = driver
        self._timing = timing
        self._log = log
        self._interval = timing.lease / SWEEPS_PER_LEASE
        self._beat = timing.lease / BEATS_PER_LEASE
        self._was_away = False
        self._pause = Pause()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Sweep and prune inside the block."""
        duties: list[asyncio.Task[None]] = []
        if self._timing.recovery:
            sweeping = self._repeat(self._sweep, self._interval, "sweep leases")
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
        await self._let_others_renew()
        try:
            returned = await self._driver.sweep()
        except DriverUnavailable:
            self._was_away = True
            raise
        finally:
            self._pause.begin()
        if returned:
            self._log.warning("%d jobs come back: the lease of their worker ran out", returned)

    async def _let_others_renew(self) -> None:
        stood_still = self._pause.seconds() > self._interval + max(self._beat, STANDSTILL)
        if self._was_away:
            await self._driver.paused()  # Answered by any part of a store; a ping asks all of them.
        if self._was_away or stood_still:
            self._was_away = False
            await self._driver.clock.sleep(self._beat)

    async def _prune(self) -> None:
        removed = await self._driver.prune(self._timing.failed_retention)
        if removed:
            self._log.info("Removed %d records past their retention", removed)


class Pause:
    """The seconds since something happened, those included in which a machine was suspended.

    By the machine's own clocks: of the two, one stands still meanwhile, and the other may be set.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """It happens now."""
        self._monotonic, self._time = time.monotonic(), time.time()

    def seconds(self) -> float:
        """How long ago that was."""
        return max(time.monotonic() - self._monotonic, time.time() - self._time)
