"""Skipping what waits of a batch that was called off, and telling of batches that ended so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.batch import batch_facts, batch_id_of
from asyncqueue.clock import now_of
from asyncqueue.events import BatchCompleted, JobCancelled
from asyncqueue.record import WAITING, Filter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.drivers.base import Driver
    from asyncqueue.listeners import Listeners
    from asyncqueue.record import State, StoredJob

PAGE: Final = 1_000
"""Jobs that are looked at in one call, where somebody wants to hear of each."""


class Skipping:
    """Ends jobs without running them, for one queue or worker, and says what came of it.

    ``retention`` is for how many seconds the records of skipped jobs are kept,
    ``max_attempts`` what events tell of jobs that do not say it.
    """

    def __init__(
        self, driver: Driver, listeners: Listeners, retention: float, max_attempts: int
    ) -> None:
        self._driver = driver
        self._listeners = listeners
        self._retention = retention
        self._max_attempts = max_attempts

    async def skip(self, batch_id: str, states: tuple[State, ...] = WAITING) -> None:
        """Skip the members of a batch that are in one of these states."""
        which = Filter(latch=batch_id, states=states)
        waiting: list[StoredJob] = []
        if self._listeners.wants(JobCancelled):
            waiting = await self._all(which)
        met = await self._driver.cancel(which, self._retention)
        for stored in waiting:
            if met.get(stored.id) in WAITING:
                self.tell_cancelled(stored)
        if met:
            await self.tell_ended([batch_id])

    def tell_cancelled(self, stored: StoredJob) -> None:
        """A job that waited was cancelled."""
        if self._listeners.wants(JobCancelled):
            self._listeners.send(
                JobCancelled(
                    at=now_of(self._driver.clock),
                    job_id=stored.id,
                    name=stored.name,
                    queue=stored.queue,
                    attempt=stored.attempts,
                    max_attempts=stored.max_attempts or self._max_attempts,
                )
            )

    async def unended(self) -> list[str]:
        """The batches whose end is still to be told; none where nobody listens."""
        if not self._driver.has_latches or not self._listeners.wants(BatchCompleted):
            return []
        known = [tally for tally in await self._driver.latches() if batch_id_of(tally.id)]
        return [tally.id for tally in known if tally.opened_at is None]

    async def tell_ended(self, batch_ids: Iterable[str]) -> None:
        """Tell of those of these batches that have ended by now."""
        ids = [id for id in batch_ids if batch_id_of(id)]
        if not ids or not self._listeners.wants(BatchCompleted):
            return
        for tally in await self._driver.latches(ids):
            if tally.opened_at is not None:
                facts = batch_facts(tally, now_of(self._driver.clock))
                self._listeners.send_once(tally.id, BatchCompleted(**facts))

    async def _all(self, which: Filter) -> list[StoredJob]:
        found = await self._driver.find(which, limit=PAGE)
        jobs = list(found.items)
        while found.next is not None:
            found = await self._driver.find(which, limit=PAGE, cursor=found.next)
            jobs += found.items
        return jobs
