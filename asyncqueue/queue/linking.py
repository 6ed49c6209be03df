"""Batches and chains of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncqueue import chaining
from asyncqueue.after_commit import after_commit, enclosing_connection
from asyncqueue.batch import (
    BatchInfo,
    batch_data,
    batch_facts,
    batch_id_of,
    batch_info,
    new_batches,
)
from asyncqueue.clock import now_of
from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.errors import JobError, JobNotFound, PayloadTooLarge
from asyncqueue.events import BatchCancelled, BatchCreated
from asyncqueue.links import Rest
from asyncqueue.queue.batch import Batch
from asyncqueue.queue.chain import Chain
from asyncqueue.queue.linker import BatchPlan, Linker
from asyncqueue.queue.producing import Producer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.drivers.base import Driver
    from asyncqueue.events import BatchEvent
    from asyncqueue.links import BatchLink, Link
    from asyncqueue.queue.handle import JobHandle
    from asyncqueue.record import Latch, Record, Tally

KEEP_FINISHED = 24 * 3600.0
"""Seconds that finished batches are spared by :meth:`Linking.prune_batches`."""


class Linking(Producer):
    """What is asked of a queue about jobs that belong together."""

    _linker: Linker

    # Chains

    def chain(self, *jobs: Any) -> Chain:
        """Jobs, or batches, that run one after the other; see :class:`Chain`."""
        return Chain(self, jobs)

    async def dispatch_chain(
        self, jobs: Sequence[Any], queue: str | None, catch: Any, within: object | None
    ) -> JobHandle[Any]:
        """Store a chain; for :meth:`Chain.dispatch`."""
        if not jobs:
            raise ValueError("A chain needs at least one job; this one has none.")
        links = self._links(jobs, queue)
        record = None
        if catch is not None:
            place = self._linker.place(queue, _first_record(links))
            record = self._linker.callback(catch, "catch", place)
        records = await self._store_chain(Rest(links, record, queue), within)
        plans = [job.plan for job in jobs if isinstance(job, Batch)]
        for plan in plans:
            plan.dispatched = True
        first_job = jobs[0].plan.jobs[0] if isinstance(jobs[0], Batch) else jobs[0]
        return self._handle(records[0], type(first_job), None)

    def linked(self, rest: Rest, jobs: Sequence[Any], *, first: bool) -> Rest:
        """A chain with more links; for ``ctx.chain_prepend`` and ``ctx.chain_append``."""
        links = self._links(jobs, rest.queue)
        if links:
            links = links + rest.links if first else rest.links + links
            rest = Rest(links, rest.catch, rest.queue)
            self._refuse_too_large(chaining.begin(rest)[0])
        return rest

    def _links(self, jobs: Sequence[Any], queue: str | None) -> list[Link]:
        plans = [job.plan if isinstance(job, Batch) else job for job in jobs]
        batches = [plan for plan in plans if isinstance(plan, BatchPlan)]
        for number, plan in enumerate(batches):
            _refuse_unfit(plan)
            if plan.id in [other.id for other in batches[:number]]:
                raise ValueError(f"Batch {plan.id} is in this chain twice; build another one.")
        return [self._linker.link(plan, queue) for plan in plans]

    # Batches

    def batch(self, *jobs: Any) -> Batch:
        """Jobs that end together; see :class:`Batch`."""
        return Batch(self, jobs)

    async def dispatch_batch(self, plan: BatchPlan, within: object | None) -> BatchInfo:
        """Store a batch; for :meth:`Batch.dispatch`."""
        _refuse_unfit(plan)
        new = await self._store_batch(self._linker.batch(plan), within)
        plan.dispatched = True
        if self._inline is not None:
            new = await self._tally(plan.id) or new
        return batch_info(new)

    async def join_batch(self, id: str, jobs: Sequence[Any]) -> None:
        """Store more members of a batch; for ``ctx.add_to_batch``."""
        tally = await self._tally(id)
        if tally is None or tally.opened_at is not None:
            raise JobError(
                f"Batch {id} has ended; only its members, while they run, can add to it. "
                "Dispatch a batch of these."
            )
        data = batch_data(tally)
        records = self._linker.members(id, list(jobs), data.queue or None, data.near or None)
        if records:
            await self._store(records, None, None)

    async def find_batch(self, id: str) -> BatchInfo | None:
        """A batch with fresh counters; None for an unknown id, or past its retention."""
        tally = await self._tally(id)
        return None if tally is None or self._is_over(tally) else batch_info(tally)

    async def own_batch(self, id: str) -> BatchInfo | None:
        """The batch of a member or a callback, past its retention as well."""
        tally = await self._tally(id)
        return None if tally is None else batch_info(tally)

    async def batches(self) -> list[BatchInfo]:
        """All batches that the store knows, newest first."""
        driver = await self.ready()
        known = [tally for tally in await driver.latches() if batch_id_of(tally.id)]
        return [batch_info(tally) for tally in known if not self._is_over(tally)]

    async def cancel_batch(self, id: str) -> bool:
        """Skip what waits of a batch; what runs ends. Answers whether that was news.

        Raises :class:`~asyncqueue.errors.JobNotFound` for an unknown id.
        """
        driver = await self.ready_to_write("cancel_batch()")
        called_off = bool(batch_id_of(id) and await driver.call_off([id]))
        tally = await self._tally(id)
        if tally is None:
            raise JobNotFound(f"No batch {id!r}: it never was, or it is past its retention.")
        if called_off:
            self._send_batch(BatchCancelled, tally)
        if tally.called_off and tally.opened_at is None:
            # Also if it was called off before: whoever did that may have died before this.
            await self.skipping.skip(id)
        return called_off

    async def prune_batches(
        self,
        finished: Duration | None = KEEP_FINISHED,
        *,
        unfinished: Duration | None = None,
        cancelled: Duration | None = None,
    ) -> int:
        """Forget batches that are older than their kind's limit (seconds); answers how many.

        Finished ones count from their end, the others from their dispatch; None spares a kind. A
        cancelled one counts as cancelled, if that has a limit. Jobs stay as they are.
        """
        driver = await self.ready()
        limits = {
            name: None if limit is None else to_finite_seconds(limit, name)
            for name, limit in (
                ("finished", finished),
                ("unfinished", unfinished),
                ("cancelled", cancelled),
            )
        }
        now = self.driver.clock.time()
        old = [
            tally.id
            for tally in await driver.latches()
            if batch_id_of(tally.id) and _is_old(tally, limits, now)
        ]
        return await driver.forget_latches(old) if old else 0

    # Inside

    async def _tally(self, id: str) -> Tally | None:
        driver = await self.ready()
        return next(iter(await driver.latches([id])), None) if batch_id_of(id) else None

    def _is_over(self, tally: Tally) -> bool:
        """Whether it is kept for its own callbacks only."""
        retention = batch_data(tally).retention
        return (
            tally.opened_at is not None
            and retention is not None
            and tally.opened_at + retention <= self.driver.clock.time()
        )

    async def _store_chain(self, whole: Rest, within: object | None) -> list[Record]:
        """Store what begins it; answers that. A fake queue notes the whole here."""
        records, latches = chaining.begin(whole)
        self._refuse_too_large(records)
        records = list(self.driver.before(records, chaining.later(whole)))
        await self._store_linked(records, latches, within)
        return records

    async def _store_batch(self, batch: BatchLink, within: object | None) -> Tally:
        """Store it and answer its counters. A fake queue notes it here."""
        (new,) = await self._store_linked(batch.records, [batch.latch], within)
        return new

    async def _store_linked(
        self, records: list[Record], latches: list[Latch], within: object | None
    ) -> list[Tally]:
        if not self.driver.has_latches:
            await self.driver.latches([])  # Raises, and says why.
        new = new_batches(latches, records, self.driver.clock.time())

        async def tell() -> None:
            for tally in new:
                self._send_batch(BatchCreated, tally, queue=batch_data(tally).queue or None)

        if self._inline is not None:  # All of it happens before the next line ends.
            await tell()
            await self._store(records, within, None, latches)
            return new
        await self._store(records, within, None, latches)
        if within is None:
            await _once_committed(self.driver, tell)
        return new

    def _refuse_too_large(self, records: list[Record]) -> None:
        most = self.settings.max_payload
        for record in records:
            if len(record.payload) > most:
                raise PayloadTooLarge(
                    f"{record.name}: {len(record.payload):,} bytes with the rest of its chain is "
                    f"over max_payload, {most:,}. Let the last link of a shorter chain dispatch "
                    "the next one."
                )

    def _send_batch(self, event: type[BatchEvent], tally: Tally, **more: Any) -> None:
        if self.listeners.wants(event):
            self.listeners.send(event(**batch_facts(tally, now_of(self.driver.clock)), **more))


async def _once_committed(driver: Driver, tell: Callable[[], Awaitable[None]]) -> None:
    """Tell at once, or after the transaction of this store around."""
    if enclosing_connection(driver) is None or not after_commit(tell):
        await tell()


def _first_record(links: Sequence[Link]) -> Record:
    first = links[0]
    if first.job is not None:
        return first.job
    assert first.batch is not None  # noqa: S101 - a link has one or the other
    return first.batch.records[0]


def _refuse_unfit(plan: BatchPlan) -> None:
    if not plan.jobs:
        raise ValueError("A batch needs at least one job; this one has none.")
    if plan.dispatched:
        raise ValueError(f"Batch {plan.id} was dispatched already; build a new one.")


def _is_old(tally: Tally, limits: dict[str, float | None], now: float) -> bool:
    since = tally.created_at if tally.opened_at is None else tally.opened_at
    kind = "finished" if tally.opened_at is not None else "unfinished"
    if tally.called_off and limits["cancelled"] is not None:
        kind = "cancelled"
    limit = limits[kind]
    return limit is not None and since <= now - limit
