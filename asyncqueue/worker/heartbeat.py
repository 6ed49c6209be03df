"""Keeps the leases of a worker alive from a thread of its own, with its own connection.

A handler that blocks the event loop stops everything on it, but not this: its job is not given
to another worker, and the blocked loop is reported by job, file and line.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncqueue.cancellation import end, heed_cancellation, raise_if_cancelled
from asyncqueue.drivers.base import Driver
from asyncqueue.errors import PartlyUnavailable
from asyncqueue.execution.whereabouts import place_of
from asyncqueue.record import Extension, Hold
from asyncqueue.restarting import is_asked_to_end
from asyncqueue.worker.outage import LONGEST_PAUSE, Outage
from asyncqueue.worker.pulse import Pulse
from asyncqueue.worker.side import beside, in_own_thread

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.interruption import Cause
    from asyncqueue.record import Presence
    from asyncqueue.worker.holdings import Holding, Holdings

BEATS_PER_LEASE: Final = 3
LOOK: Final = 0.25
"""Seconds between two looks at the loop and at cancellations."""
BLOCKED_AFTER: Final = 1.0
"""Seconds without a turn after which an event loop counts as blocked."""
FAREWELL: Final = 0.5
"""Seconds for the store to note that a worker has ended; else its presence runs out by itself."""
MOST_PLACES: Final = 1_000
"""Running jobs of a worker of which is told what they are doing."""
BLOCKED_LEASES: Final = 20
BLOCKED_AT_LEAST: Final = 300.0
"""A blocked worker keeps its jobs for 20 leases, but at least 300 seconds."""


class Heartbeat:
    """Renews leases three times a lease, and watches the loop and operators' cancellations."""

    def __init__(  # noqa: PLR0913 - what it works with
        self,
        driver: Driver,
        holdings: Holdings,
        presence: Presence,
        *,
        lease: float,
        interrupt: Callable[[Holding, Cause], None],
        restart: Callable[[], object],
        on_end: Callable[[], object],
        log: logging.Logger,
    ) -> None:
        self._driver = driver
        self._holdings = holdings
        self._presence = presence
        self._lease = lease
        self._interrupt = interrupt
        self._restart = restart
        self._on_end = on_end
        self._log = log
        self._pulse = Pulse()
        self._blocked = False
        self._gave_up = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Beat inside the block. What keeps it from starting is raised here."""
        self._loop = asyncio.get_running_loop()
        self._pulse.start()
        try:
            async with self._beating():
                yield
        finally:
            self._pulse.stop()

    def _beating(self) -> AbstractAsyncContextManager[None]:
        if type(self._driver).clone is Driver.clone:
            # A driver with one handle only: the beat shares the loop, and stops when it blocks.
            return beside(
                lambda started, stopped: self._beat(self._driver, started, stopped), self._on_end
            )
        second = self._driver.clone()
        second.clock = self._driver.clock
        return in_own_thread(
            lambda started, stopped: self._beat_with(second, started, stopped),
            self._on_end,
            name="asyncqueue-heartbeat",
            log=self._log,
        )

    # In the thread

    async def _beat_with(
        self, driver: Driver, started: Callable[[], None], stopped: asyncio.Event
    ) -> None:
        await driver.open()
        try:
            await self._beat(driver, started, stopped)
        finally:
            await driver.close()

    async def _beat(
        self, driver: Driver, started: Callable[[], None], stopped: asyncio.Event
    ) -> None:
        await self._announce(driver)
        duties = [
            asyncio.create_task(self._renewing(driver)),
            asyncio.create_task(self._looking(driver)),
            asyncio.create_task(stopped.wait()),
        ]
        await asyncio.sleep(0)  # They have begun before anybody relies on them.
        started()
        ended, going_on = await asyncio.wait(duties, return_when=asyncio.FIRST_COMPLETED)
        await end(going_on)
        try:
            async with asyncio.timeout(FAREWELL):
                await driver.retire(self._presence.id)
        except Exception as error:  # noqa: BLE001 - it will be forgotten when its time is over
            told = str(error) or "the store does not answer"
            self._log.warning("Cannot retire worker %s: %s", self._presence.id, told)
        for duty in ended:
            duty.result()  # Raises what a duty broke down with.

    async def _renewing(self, driver: Driver) -> None:
        shortest = min(self._lease / 10, 1.0)
        # Two thirds of the lease are left when the first try fails: no pause may outlast them.
        longest = min(self._lease / 6, LONGEST_PAUSE)
        outage = Outage("renew leases", shortest, self._log, longest=longest)
        pause = beat = self._lease / BEATS_PER_LEASE
        while True:
            await driver.clock.sleep(pause)
            began = driver.clock.monotonic()
            if not self._gave_up:
                await self._until_done(self._renew, driver, outage)
            # However long a slow store takes to answer, the next renewal comes in time.
            pause = max(beat - (driver.clock.monotonic() - began), shortest)

    async def _looking(self, driver: Driver) -> None:
        outage = Outage("look for cancellations", LOOK, self._log)
        while True:
            await asyncio.sleep(LOOK)
            await self._until_done(self._look, driver, outage)

    async def _until_done(
        self, duty: Callable[[Driver], Awaitable[None]], driver: Driver, outage: Outage
    ) -> None:
        while True:
            try:
                await duty(driver)
                heed_cancellation()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - none ends the beat
                raise_if_cancelled(error)
                await asyncio.sleep(outage.failed(error))
            else:
                outage.over()
                return

    async def _renew(self, driver: Driver) -> None:
        held = self._holdings.snapshot()
        if held:
            extensions = [Extension(item.claim.id, item.claim.token) for item in held]
            try:
                self._heed(held, await driver.extend(extensions, self._lease))
            except PartlyUnavailable as error:
                known = [n for n in range(len(held)) if n not in error.missing]
                self._heed([held[n] for n in known], [error.answers[n] for n in known])
                await self._announce(driver)
                raise
        await self._announce(driver)
        if await is_asked_to_end(driver, self._presence.id):
            self._tell(self._restart)

    def _heed(self, held: Sequence[Holding], answers: Sequence[Hold]) -> None:
        for holding, answer in zip(held, answers, strict=True):
            if answer is Hold.LOST:
                self._ask(holding, "lease_lost")
            elif answer is Hold.CANCELLED:
                self._ask(holding, "cancelled")

    async def _announce(self, driver: Driver) -> None:
        here = msgspec.structs.replace(self._presence, places=self._places())
        await driver.announce(here, max(self._lease, 2.0))

    def _places(self) -> dict[str, str]:
        """What running jobs are doing at this moment, of some of them."""
        runs = [run for run in self._holdings.runs() if run.task is not None][:MOST_PLACES]
        return {run.claim.id: place_of(run.task) for run in runs if run.task is not None}

    async def _look(self, driver: Driver) -> None:
        self._look_at_loop()
        if not len(self._holdings):
            return
        for job_id in await driver.called_off(self._presence.id):
            holding = self._holdings.get(job_id)
            if holding is not None:
                self._ask(holding, "cancelled")

    def _look_at_loop(self) -> None:
        silent = self._pulse.silent_for()
        if silent < BLOCKED_AFTER:
            self._blocked = self._gave_up = False
            return
        if not self._blocked:
            self._blocked = True
            self._log.error(
                "The event loop is blocked for %.1f s by %s at %s. Nothing else runs meanwhile: "
                "await instead, or make handle a plain function, which runs in a thread.",
                silent,
                self._culprit(),
                self._pulse.place(),
            )
        if not self._gave_up and silent > blocked_bound(self._lease):
            self._gave_up = True
            self._log.error(
                "The event loop is blocked for %.0f s: its leases are renewed no longer, its "
                "jobs go to other workers",
                silent,
            )

    def _culprit(self) -> str:
        task: asyncio.Task[Any] | None = self._pulse.current_task()
        for run in self._holdings.runs():
            if task is not None and run.task is task:
                return f"job {run.claim.name} {run.claim.id}"
        return "code outside of any job"

    def _ask(self, holding: Holding, cause: Cause) -> None:
        self._tell(lambda: self._interrupt(holding, cause))

    def _tell(self, callback: Callable[[], Any]) -> None:
        # The loop may be closed under a worker that was never stopped: nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)


def blocked_bound(lease: float) -> float:
    """For how many seconds a blocked worker keeps its jobs."""
    return max(BLOCKED_LEASES * lease, BLOCKED_AT_LEAST)
