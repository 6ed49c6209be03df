"""The sync driver: a job runs in the caller, during its dispatch. For tests and scripts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Order
from asyncqueue.drivers.latch_changes import already_there
from asyncqueue.drivers.latching import NOTHING, Effect, LatchState, new_latches
from asyncqueue.drivers.permits import Permits
from asyncqueue.errors import DriverError
from asyncqueue.record import Claim, Claimed, Filter, Found, QueueCounts, State, StoredJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.record import Counted, Latch, Permit, Record, Settlement, Source, Tally


MOST_KEPT: Final = 1_000
"""Records after which those past their retention are looked for, if nobody else looks."""


class SyncDriver(Driver):
    """Runs each record as it is enqueued; delays are ignored, errors reach the caller.

    Nothing ever waits, so sizes are 0, a claim gives nothing, and limits and fair keys of records
    mean nothing: a job that waited for another would keep its caller waiting. Of jobs that
    completed, the record and result are kept as on any driver; of failed ones nothing is kept.
    """

    name = "sync"
    in_process = True

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self.run: Callable[[Claim], Awaitable[Settlement]] | None = None
        """What runs a claim: answers the settlement of a completed job, raises its error."""
        self.on_counted: Callable[[Counted, State, BaseException | None], None] | None = None
        """Who hears what latches count."""
        self._kept: dict[str, tuple[StoredJob, float]] = {}
        self._most_kept = MOST_KEPT
        self._latches: dict[str, LatchState] = {}
        self._held: dict[str, list[Record]] = {}
        self._permits = Permits()

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        """Run the jobs one after the other; the first error ends it and reaches the caller.

        Members of a latch all have their turn, or are skipped once it is called off; an error of
        one that was not allowed to fail reaches the caller at the end.
        """
        self.refuse_within(within)
        self._forget_expired_latches()
        self._add(records, latches)
        try:
            return await self._run_all(records)
        except asyncio.CancelledError:
            # Nobody will run the others: what counts them would wait for ever.
            await self.forget_latches([latch.id for latch in latches])
            raise

    def _add(self, records: Sequence[Record], latches: Sequence[Latch]) -> None:
        """Add latches with those who belong to them."""
        for latch in latches:
            if latch.id in self._latches:
                raise already_there(latch.id)
        self._latches.update(new_latches(latches, self.clock.time()))
        for record in records:
            if record.latch is not None:
                self._latches[record.latch].stored(record.held, guards=record.guards)
            if record.latch is not None and record.held is not None:
                self._held.setdefault(record.latch, []).append(record)

    async def _run_all(self, records: Sequence[Record]) -> list[str | None]:
        answers: list[str | None] = []
        errors: list[Exception] = []
        for record in records:
            if record.held is not None:
                answers.append(None)
            elif record.latch is not None:
                answers.append(await self._run_member(record, record.latch, errors))
            else:
                answers.append(await self._run(record))
        if errors:
            raise errors[0]
        return answers

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

    async def latches(self, ids: Sequence[str] | None = None) -> list[Tally]:
        """What is known of these latches."""
        self._forget_expired_latches()
        known = reversed(self._latches.values())
        return [state.tally() for state in known if ids is None or state.id in ids]

    async def call_off(self, ids: Sequence[str]) -> list[str]:
        """Skip members of these that have not had their turn: asked by one that runs."""
        return [id for id in ids if id in self._latches and self._latches[id].call_off()]

    async def forget_latches(self, ids: Sequence[str]) -> int:
        """Forget what they counted."""
        known = [id for id in ids if self._latches.pop(id, None) is not None]
        for id in known:
            self._held.pop(id, None)
        return len(known)

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """Take a permit, for middleware. Limits of records are not heeded: the callers decide."""
        now = self.clock.time()
        if not self._permits.holds(key, holder, now):
            wait = self._permits.wait(key, most, now)
            if wait > 0:
                return wait
        self._permits.take(key, holder, now + ttl)
        return 0.0

    async def release(self, key: str, holder: str | None = None) -> int:
        """Give permits back."""
        return self._permits.give_back(key, holder, self.clock.time())

    async def holders(self, key: str) -> list[Permit]:
        """The permits that are taken."""
        return self._permits.holders(key, self.clock.time())

    async def _run_member(self, record: Record, id: str, errors: list[Exception]) -> str | None:
        """Run a member, unless it was called off, and what its latch lets go of then."""
        state = self._latches[id]
        if state.called_off:
            await self._count(state, State.CANCELLED, None)
            return None
        failure: Exception | None = None
        duplicate: str | None = None
        try:
            duplicate = await self._run(record)
        except Exception as error:  # noqa: BLE001 - it reaches the caller, or was allowed
            failure = error
            if state.breaks:
                errors.append(error)
        await self._count(state, State.FAILED if failure else State.COMPLETED, failure)
        return duplicate

    async def _count(self, state: LatchState, ended: State, error: Exception | None) -> None:
        text = None if error is None else f"{type(error).__qualname__}: {error}"
        effect = state.member_ended(ended, text, self.clock.time())
        if self.on_counted is not None:
            self.on_counted(state.counted(effect), ended, error)
        await self._apply(state, effect)

    async def _apply(self, state: LatchState, effect: Effect) -> None:
        """Run what is let go of. What goes wrong in it is told by its own log and events."""
        while effect is not NOTHING:
            held = self._held.get(state.id, [])
            due = [record for record in held if record.held in effect.let_go]
            self._held[state.id] = [
                record
                for record in held
                if record.held not in effect.let_go and record.held not in effect.drop
            ]
            effect = NOTHING
            for record in due:
                with contextlib.suppress(Exception):
                    await self._run(record)
                if record.guards:
                    effect = state.guard_ended()

    def _forget_expired_latches(self) -> None:
        now = self.clock.time()
        for id in [id for id, state in self._latches.items() if state.expired(now)]:
            del self._latches[id]
            self._held.pop(id, None)

    async def _run(self, record: Record) -> str | None:
        if self.run is None:
            raise DriverError("The sync driver runs jobs for a Queue; use it as Queue('sync://').")
        started = self.clock.time()
        kept_until = self._kept.get(record.id, (None, 0.0))[1]
        if kept_until > started:
            return record.id
        settlement = await self.run(_claim(record, started))
        if settlement.follow_ups:
            await self.enqueue(settlement.follow_ups, latches=settlement.latches)
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
        latch=record.latch,
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
        latch=record.latch,
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
