"""One slot of one entry: its job is made and dispatched, and the log says what came of it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.backoff import exponential
from asyncqueue.cancellation import raise_if_cancelled
from asyncqueue.clock import SYSTEM_CLOCK
from asyncqueue.errors import DriverUnavailable
from asyncqueue.queue.build import Builder, DispatchOptions
from asyncqueue.schedule.slots import GRACE, REMEMBERED, Slot

if TYPE_CHECKING:
    from asyncqueue.job import Job
    from asyncqueue.queue import Queue
    from asyncqueue.record import Record
    from asyncqueue.schedule.entry import Entry
    from asyncqueue.schedule.timetable import Line

OVERLAP_LIMIT: Final = 86400.0
"""Seconds after which a run that never ended keeps the next one from starting no longer."""
PAUSES: Final = exponential(1, 30)
"""Between tries to reach the store."""
SLACK: Final = 5.0
"""Seconds by which the last try may miss the end of the grace."""

log = logging.getLogger("asyncqueue.schedule")


class Firing:
    """Dispatches one slot. :meth:`fire` never raises; only a cancellation ends it early."""

    def __init__(self, queue: Queue, line: Line, slot: Slot) -> None:
        self._queue = queue
        self._clock = queue.driver.clock
        self._line = line
        self._entry = line.entry
        self._slot = slot
        self._late = self._clock.time() - slot.due
        self._noted_at = SYSTEM_CLOCK.time()
        self._pause: asyncio.Event | None = None
        self._stopped = False

    def stop(self) -> None:
        """Do not try again to reach the store."""
        self._stopped = True
        if self._pause is not None:
            self._pause.set()

    async def fire(self) -> None:
        """Make the job, dispatch it, and log how that went."""
        if self._line.busy and not self._entry.overlap:
            self._say(logging.INFO, "skipped: its last run is still being dispatched")
            return
        self._line.latest = self._slot
        due = datetime.fromtimestamp(self._slot.due, self._entry.timing.zone)
        self._say(logging.INFO, f"started for {due}")
        started = self._clock.monotonic()
        try:
            outcome = await self._dispatched()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - shown in the log
            raise_if_cancelled(error)
            away = isinstance(error, DriverUnavailable)
            took = self._clock.monotonic() - started
            said = f"failed after {took:.3f} s: {type(error).__qualname__}: {error}"
            self._say(logging.ERROR, said, exc_info=None if away else error)
        else:
            took = self._clock.monotonic() - started
            self._say(logging.INFO, f"completed in {took:.3f} s: {outcome}")

    async def _dispatched(self) -> str:
        """Dispatch the job and say what became of it."""
        with self._line.occupied():
            job = await self._made()
            record = slot_record(self._queue, self._entry, self._slot, job)
        holder = await self._stored(record)
        if holder is None:
            return f"{record.name} {record.id} on queue {record.queue}"
        if holder == record.id:
            return "another scheduler had dispatched it"
        return f"skipped, as {holder} is not finished"

    async def _made(self) -> Job:
        limit = asyncio.timeout(GRACE)
        try:
            async with limit:
                return await self._entry.make_job()
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"its job was not made within {GRACE:.0f} s") from error
            raise

    async def _stored(self, record: Record) -> str | None:
        """The id of the job that stands in the way, if one does; waits for a store that is away."""
        tries = 0
        while True:
            self._refuse_if_too_late()
            tries += 1
            try:
                with self._line.occupied():
                    return await self._queue.store_record(record)
            except DriverUnavailable as error:
                left = self._slot.due + GRACE - self._clock.time()
                if left <= 0 or self._stopped or self._line.latest is not self._slot:
                    raise
                if tries == 1:
                    self._say(logging.WARNING, f"cannot reach the store, trying again: {error}")
            await self._paused(min(PAUSES.delay(tries), left))

    def _refuse_if_too_late(self) -> None:
        """A process may be suspended between noting a slot and dispatching it.

        By then the record that tells the slot was dispatched elsewhere may be gone. This is
        measured by the machine's own clock: a test that moves its clock suspends nothing.
        """
        if self._late + SYSTEM_CLOCK.time() - self._noted_at > GRACE + SLACK:
            raise TimeoutError(f"it could not be dispatched within {GRACE:.0f} s")

    async def _paused(self, seconds: float) -> None:
        self._pause = over = asyncio.Event()
        timer = self._clock.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()
            self._pause = None

    def _say(self, level: int, text: str, exc_info: BaseException | None = None) -> None:
        name = self._entry.name
        facts = {"schedule": name, "slot": self._entry.id_of(self._slot)}
        log.log(level, 'Schedule "%s" %s', name, text, extra=facts, exc_info=exc_info)


def slot_record(queue: Queue, entry: Entry, slot: Slot, job: Job) -> Record:
    """The record of a slot's job; raises what a dispatch of this job would raise."""
    settings = msgspec.structs.replace(queue.settings, default=entry.fallback)
    options = DispatchOptions(id=entry.id_of(slot), queue=entry.queue)
    clock = queue.driver.clock
    record = Builder(settings, queue.driver).record(job, options, clock, remembered=REMEMBERED)
    if not entry.overlap and record.key is None:
        record.key = entry.key
        record.key_ttl = OVERLAP_LIMIT
    return record
