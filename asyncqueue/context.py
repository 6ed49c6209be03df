"""What a handler is given: facts about its job, services, and what it may ask of the worker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar, overload

from asyncqueue.clock import moment
from asyncqueue.durations import Duration, to_finite_seconds

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from asyncqueue.batch import BatchInfo
    from asyncqueue.host import Host, Permits
    from asyncqueue.interruption import Cancellation, Cause
    from asyncqueue.links import Cause as Failure
    from asyncqueue.trace import Trace

S = TypeVar("S")


class Context:
    """One attempt of one job: the first argument of ``handle``.

    Facts about the job are attributes, services come from :meth:`get`. What the handler asks for
    (:meth:`progress`, :meth:`extend`, :meth:`dispatch`, :meth:`transaction`, …) needs the store
    and raises :class:`~asyncqueue.errors.DriverUnavailable` where that cannot be reached.
    """

    # It refers to its run, never the other way round: a cycle for every job would leave each to
    # the garbage collector.
    __slots__ = ("_host", "_logger")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._logger: logging.LoggerAdapter[logging.Logger] | None = None

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self._host.claim.id

    @property
    def job_name(self) -> str:
        """The registered name of the job's class."""
        return self._host.claim.name

    @property
    def job(self) -> Any:
        """The job itself: what middleware asks for its fields."""
        return self._host.job

    @property
    def permits(self) -> Permits:
        """Permits that the store keeps for all workers, for middleware that limits jobs."""
        return self._host.permits

    @property
    def queue(self) -> str:
        """The queue that the job was taken from."""
        return self._host.claim.queue

    @property
    def attempt(self) -> int:
        """Which run of the job this is: 1 on the first."""
        return self._host.claim.attempts

    @property
    def max_attempts(self) -> int:
        """How many runs the job has in all."""
        return self._host.max_attempts

    @property
    def priority(self) -> int:
        """The priority of the job: higher runs first."""
        return self._host.claim.priority

    @property
    def batch_id(self) -> str | None:
        """The batch of the job, or the one whose callback it is; None outside a batch."""
        return self._host.batch_id

    @property
    def trace(self) -> Trace | None:
        """The trace that the producer dispatched the job in, else the worker's own."""
        return self._host.trace

    @property
    def cancelled(self) -> Cancellation:
        """An event that is set when the job is being interrupted: await it, or ``is_set()``."""
        return self._host.cancelled

    @property
    def cause(self) -> Cause | None:
        """Why the job is interrupted: shutdown, timeout, cancelled or lease_lost; else None."""
        return self._host.cause

    @property
    def dispatched_at(self) -> datetime:
        """When the job was dispatched, by the store's clock."""
        return moment(self._host.claim.created_at)

    @property
    def deadline(self) -> datetime | None:
        """When the attempt times out; None without a timeout."""
        remaining = self._remaining()
        if remaining == float("inf"):
            return None
        return moment(self._host.clock.time() + remaining)

    @property
    def remaining(self) -> float:
        """Seconds until the attempt times out, at least 0; infinity without a timeout."""
        return max(self._remaining(), 0.0)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry job_id, job_name, queue, attempt and trace_id."""
        if self._logger is None:
            self._logger = _JobLogger(logging.getLogger("asyncqueue.job"), self._identity())
        return self._logger

    @overload
    def get(self, service: type[S]) -> S: ...
    @overload
    def get(self, service: str) -> Any: ...
    def get(self, service: Any) -> Any:
        """The service registered under this type or name.

        Raises :class:`~asyncqueue.errors.ConfigError` naming it when there is none.
        """
        return self._host.services.get(service)

    async def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Store how far the job is: ``done`` of ``total``, or in percent without ``total``.

        Raises ``ValueError`` for numbers that give no percentage and
        :class:`~asyncqueue.errors.LeaseLost` when the job belongs to another worker by now.
        Inside :meth:`transaction` it stores nothing: nobody could see it before the job is
        complete.
        """
        await self._host.progress(_percent(done, total), message)

    async def extend(self, seconds: Duration) -> None:
        """Put the deadline off by this much and renew the lease; 0 renews the lease only.

        Raises ``ValueError`` for less and :class:`~asyncqueue.errors.LeaseLost` when the job
        belongs to another worker by now.
        """
        more = to_finite_seconds(seconds, "extend")
        if more < 0:
            raise ValueError(f"extend takes the seconds to add to the deadline, got {seconds!r}")
        await self._host.more_time(more)

    async def dispatch(self, job: Any, **options: Any) -> Any:
        """Dispatch another job; options and answer as for ``Queue.dispatch``."""
        return await self._host.dispatch(job, options)

    @property
    def failure(self) -> Failure | None:
        """For a chain's ``catch`` job: ``job_id`` and ``error`` (text) of the one that failed."""
        return self._host.failure

    async def batch(self) -> BatchInfo | None:
        """The batch of this job, or whose callback it is, with fresh counters; None outside."""
        return await self._host.batch()

    async def add_to_batch(self, *jobs: Any) -> None:
        """Add jobs to the batch of this job; they are stored, and counted, when this returns.

        The batch cannot end before this job has ended. Of a cancelled batch they are skipped, too.
        Raises :class:`~asyncqueue.errors.JobError` outside a batch and what ``Queue.dispatch``
        raises for a job.
        """
        await self._host.add_to_batch(jobs)

    def chain_prepend(self, *jobs: Any) -> None:
        """Let these jobs come next, before the rest of the chain of this job, if it has one.

        They are stored when this attempt completes, and not if it ends otherwise.
        Raises what ``Queue.dispatch`` raises for a job.
        """
        self._host.link(jobs, first=True)

    def chain_append(self, *jobs: Any) -> None:
        """Let these jobs come last, after the rest of the chain; else as :meth:`chain_prepend`."""
        self._host.link(jobs, first=False)

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A transaction of the store that commits with the job's completion.

        Gives the store's own connection. What the block writes with it and the completion of
        the job are committed together at its end: its effects happen exactly once. When the
        block raises, or the job belongs to another worker by now
        (:class:`~asyncqueue.errors.LeaseLost`), neither happens. Keep it short, let it be the
        last thing that the handler does; what it returns afterwards is not stored.

        Inside the block a dispatch is part of the transaction. Other calls of the queue that
        change something are not and raise :class:`~asyncqueue.errors.DriverError`, and so does a
        second transaction inside the first.
        On SQLite the block holds the only write lock, for which :meth:`progress`, :meth:`extend`
        and a dispatch with ``after_commit=False`` inside it wait in vain.
        Raises :class:`~asyncqueue.errors.TransactionUnsupported` on drivers without them.
        """
        return self._host.transaction()

    def _remaining(self) -> float:
        return self._host.deadline - self._host.clock.monotonic()

    def _identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = {
            "job_id": self.job_id,
            "job_name": self.job_name,
            "queue": self.queue,
            "attempt": self.attempt,
        }
        if self.trace is not None:
            identity["trace_id"] = self.trace.trace_id
        return identity

    def __repr__(self) -> str:
        return f"<Context {self.job_name} {self.job_id} attempt {self.attempt}/{self.max_attempts}>"


class _JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the job's identity to each record, beside what the caller adds."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def _percent(done: float, total: float | None) -> float:
    whole = 100.0 if total is None else total
    if not isinstance(done, (int, float)) or not isinstance(whole, (int, float)):
        raise TypeError(f"progress takes numbers, got done={done!r}, total={total!r}")
    if not whole > 0 or not 0 <= done < float("inf"):
        raise ValueError(f"progress needs 0 <= done and total > 0, got done={done}, total={total}")
    return round(min(done / whole, 1.0) * 100, 2)
