"""Batches and chains of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncqueue import chaining
from asyncqueue.batch import BatchInfo, batch_facts, batch_info
from asyncqueue.clock import now_of
from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.errors import JobNotFound, PayloadTooLarge
from asyncqueue.events import BatchCancelled, BatchCompleted, BatchCreated
from asyncqueue.queue.batch import Batch
from asyncqueue.queue.chain import Chain
from asyncqueue.queue.linker import BatchPlan, Linker
from asyncqueue.queue.producing import Producer
from asyncqueue.record import WAITING, Filter, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.base import Driver
    from asyncqueue.events import BatchEvent
    from asyncqueue.links import Link
    from asyncqueue.queue.handle import JobHandle
    from asyncqueue.record import Latch, Record

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
            first = links[0].job or (links[0].batch.records[0] if links[0].batch else None)
            near = queue or (self.settings.default if first is None else first.queue)
            record = self._linker.callback(catch, "catch", near)
        records, latches = chaining.begin(links, record)
        self._refuse_too_large(records)
        await self._store_linked(records, latches, within)
        first_job = jobs[0].plan.jobs[0] if isinstance(jobs[0], Batch) else jobs[0]
        return self._handle(records[0], type(first_job), None)

    def links(self, jobs: Sequence[Any]) -> list[Link]:
        """Jobs and batches as links of a chain; for ``ctx.chain_append`` and ``chain_prepend``."""
        return self._links(jobs, None)

    def _links(self, jobs: Sequence[Any], queue: str | None) -> list[Link]:
        plans = [job.plan if isinstance(job, Batch) else job for job in jobs]
        for plan in plans:
            if isinstance(plan, BatchPlan):
                _refuse_empty(plan)
        return [self._linker.link(plan, queue) for plan in plans]

    # Batches

    def batch(self, *jobs: Any) -> Batch:
        """Jobs that end together; see :class:`Batch`."""
        return Batch(self, jobs)

    async def dispatch_batch(self, plan: BatchPlan, within: object | None) -> BatchInfo:
        """Store a batch; for :meth:`Batch.dispatch`."""
        _refuse_empty(plan)
        link = self._linker.batch(plan)
        now, total = self.driver.clock.time(), len(plan.jobs)
        new = Tally(plan.id, link.latch.data, total, 0, 0, 0, called_off=False, created_at=now)
        if self._inline is not None:  # All of it happens before the next line ends.
            self._send_batch(BatchCreated, new, queue=plan.queue)
        await self._store_linked(link.records, [link.latch], within)
        if self._inline is not None:
            return batch_info(next(iter(await self.driver.latches([plan.id])), new))
        if within is None:
            self._send_batch(BatchCreated, new, queue=plan.queue)
        return batch_info(new)

    async def join_batch(self, id: str, jobs: Sequence[Any]) -> None:
        """Store more members of a batch; for ``ctx.add_to_batch``."""
        records = self._linker.members(id, list(jobs), None)
        if records:
            await self._store(records, None, None)

    async def find_batch(self, id: str) -> BatchInfo | None:
        """A batch with fresh counters; None for an unknown id, or past its retention."""
        driver = await self.ready()
        return next((batch_info(tally) for tally in await driver.latches([id])), None)

    async def batches(self) -> list[BatchInfo]:
        """All batches that the store knows, newest first."""
        driver = await self.ready()
        return [batch_info(tally) for tally in await driver.latches()]

    async def cancel_batch(self, id: str) -> bool:
        """Skip what waits of a batch; what runs ends. Answers whether that was news.

        Raises :class:`~asyncqueue.errors.JobNotFound` for an unknown id.
        """
        driver = await self.ready_to_write("cancel_batch()")
        called_off = bool(await driver.call_off([id]))
        if called_off:
            await self._tell(driver, id, BatchCancelled)
            await driver.cancel(Filter(latch=id, states=WAITING), self.settings.retention)
            await self._tell(driver, id, BatchCompleted, opened=True)
        elif not await driver.latches([id]):
            raise JobNotFound(f"No batch {id!r}: it never was, or it is past its retention.")
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
        old = [tally.id for tally in await driver.latches() if _is_old(tally, limits, now)]
        return await driver.forget_latches(old) if old else 0

    # Inside

    async def _store_linked(
        self, records: list[Record], latches: list[Latch], within: object | None
    ) -> None:
        if not self.driver.has_latches:
            await self.driver.latches([])  # Raises, and says why.
        await self._store(records, within, None, latches)

    def _refuse_too_large(self, records: list[Record]) -> None:
        most = self.settings.max_payload
        for record in records:
            if len(record.payload) > most:
                raise PayloadTooLarge(
                    f"{record.name}: {len(record.payload):,} bytes with the rest of its chain is "
                    f"over max_payload, {most:,}. Let the last link of a shorter chain dispatch "
                    "the next one."
                )

    async def _tell(
        self, driver: Driver, id: str, event: type[BatchEvent], *, opened: bool = False
    ) -> None:
        if self.listeners.wants(event):
            for tally in await driver.latches([id]):
                if not opened or tally.opened_at is not None:
                    self._send_batch(event, tally)

    def _send_batch(self, event: type[BatchEvent], tally: Tally, **more: Any) -> None:
        if self.listeners.wants(event):
            self.listeners.send(event(**batch_facts(tally, now_of(self.driver.clock)), **more))


def _refuse_empty(plan: BatchPlan) -> None:
    if not plan.jobs:
        raise ValueError("A batch needs at least one job; this one has none.")


def _is_old(tally: Tally, limits: dict[str, float | None], now: float) -> bool:
    since = tally.created_at if tally.opened_at is None else tally.opened_at
    kinds = ["finished" if tally.opened_at is not None else "unfinished"]
    if tally.called_off and limits["cancelled"] is not None:
        kinds = ["cancelled"]
    limit = limits[kinds[0]]
    return limit is not None and since <= now - limit
