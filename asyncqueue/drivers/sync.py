"""The sync driver: a job runs in the caller, during its dispatch. For tests and scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Order
from asyncqueue.errors import DriverError
from asyncqueue.record import Claim, Claimed, Filter, Found, QueueCounts, State, StoredJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.record import Latch, Record, Settlement, Source


MOST_KEPT: Final = 1_000
"""Records after which those past their retention are looked for, if nobody else looks."""


class SyncDriver(Driver):
    """Runs each record as it is enqueued; delays are ignored, errors reach the caller.

    Nothing ever waits, so sizes are 0 and a claim gives nothing. Of jobs that completed, the
    record and result are kept as on any driver; of failed ones nothing is kept.
    """

    name = "sync"
    in_process = True

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self.run: Callable[[Claim], Awaitable[Settlement]] | None = None
        """What runs a claim: answers the settlement of a completed job, raises its error."""
        self._kept: dict[str, tuple[StoredJob, float]] = {}
        self._most_kept = MOST_KEPT

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        """Run the jobs one after the other; the first error ends it and reaches the caller."""
        self.refuse_within(within)
        return [await self._run(record) for record in records]

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """Nothing: every job ran when it was dispatched."""
        return Claimed([])

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Nothing is ever held."""
        return [False] * len(settlements)

    async def find(
        self,
        which: Filter,
        *,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        order: Order = "created",
    ) -> Found:
        """Completed jobs within their retention, newest first."""
        kept = [job for job in reversed(self._live()) if _matches(job, which)]
        start = offset + int(cursor or 0)
        end = start + limit
        return Found(kept[start:end], str(end) if end < len(kept) else None)

    async def counts(self) -> dict[str, QueueCounts]:
        """Completed jobs by queue."""
        counts: dict[str, QueueCounts] = {}
        for job in self._live():
            count = counts.setdefault(job.queue, QueueCounts())
            setattr(count, job.state, getattr(count, job.state) + 1)
        return counts

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """Nothing waits or runs: answers the states of what is kept."""
        return {job.id: job.state for job in self._live() if _matches(job, which)}

    async def requeue(self, which: Filter) -> list[str]:
        """No failed job is kept."""
        return []

    async def delete(self, which: Filter) -> int:
        """Forget the records that are meant; answers how many."""
        gone = [job.id for job in self._live() if _matches(job, which)]
        for job_id in gone:
            del self._kept[job_id]
        return len(gone)

    async def _run(self, record: Record) -> str | None:
        if self.run is None:
            raise DriverError("The sync driver runs jobs for a Queue; use it as Queue('sync://').")
        started = self.clock.time()
        kept_until = self._kept.get(record.id, (None, 0.0))[1]
        if kept_until > started:
            return record.id
        settlement = await self.run(_claim(record, started))
        if settlement.retention > 0:
            now = self.clock.time()
            kept = _stored(record, settlement, started, now)
            self._kept[record.id] = (kept, now + settlement.retention)
            if len(self._kept) > self._most_kept:
                self._most_kept = max(2 * len(self._live()), MOST_KEPT)
        return None

    def _live(self) -> list[StoredJob]:
        now = self.clock.time()
        for job_id in [key for key, (_, until) in self._kept.items() if until <= now]:
            del self._kept[job_id]
        return [job for job, _ in self._kept.values()]


def _claim(record: Record, now: float) -> Claim:
    return Claim(
        id=record.id,
        token=1,
        queue=record.queue,
        name=record.name,
        payload=record.payload,
        priority=record.priority,
        attempts=1,
        exceptions=0,
        max_attempts=record.max_attempts,
        created_at=now,
    )


def _stored(record: Record, settlement: Settlement, started: float, now: float) -> StoredJob:
    return StoredJob(
        id=record.id,
        queue=record.queue,
        name=record.name,
        payload=record.payload,
        state=settlement.state,
        priority=record.priority,
        attempts=settlement.attempts,
        max_attempts=record.max_attempts,
        created_at=started,
        available_at=started,
        started_at=started,
        finished_at=now,
        progress=100.0,
        result=settlement.result,
    )


def _matches(job: StoredJob, which: Filter) -> bool:
    source: Any = which.source
    return (
        (which.ids is None or job.id in which.ids)
        and (which.states is None or job.state in which.states)
        and (which.name is None or job.name == which.name)
        and (
            source is None
            or (job.queue == source.queue and source.low <= job.priority <= source.high)
        )
    )
