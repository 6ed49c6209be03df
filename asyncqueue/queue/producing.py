"""Dispatching jobs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, Unpack, overload

from asyncqueue.after_commit import after_commit as wait_for_commit
from asyncqueue.after_commit import enclosing_connection, refuse_in_transaction
from asyncqueue.clock import now_of
from asyncqueue.events import JobQueued
from asyncqueue.job import Job
from asyncqueue.queue.build import NO_OPTIONS, Builder, DispatchOptions
from asyncqueue.queue.handle import JobHandle
from asyncqueue.queue.operating import Operator
from asyncqueue.registry import fold
from asyncqueue.trace import current_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from asyncqueue.context import Context
    from asyncqueue.durations import Duration
    from asyncqueue.options import BackoffOption
    from asyncqueue.queue.dispatcher import Dispatcher
    from asyncqueue.queue.inline import InlineRunner
    from asyncqueue.record import Latch, Record

F = TypeVar("F", bound="Callable[..., Any]")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
_BY_NAME = inspect.Parameter.KEYWORD_ONLY


class ManyOptions(TypedDict, total=False):
    """The options of a dispatch of several jobs."""

    queue: str | None
    delay: Duration | None
    at: datetime | None
    priority: int | None
    max_attempts: int | None
    timeout: Duration | None
    backoff: BackoffOption | None
    within: object | None
    after_commit: bool | None


class OneOptions(ManyOptions, total=False):
    """The options of a dispatch of one job."""

    id: str | None


def spelled_out(options: type[Any]) -> Callable[[F], F]:
    """Show these instead of ``**options`` to ``help`` and to ``inspect.signature``."""

    def spell_out(function: F) -> F:
        shown = inspect.signature(function)
        given = [each for each in shown.parameters.values() if each.kind is not each.VAR_KEYWORD]
        given += [
            inspect.Parameter(name, _BY_NAME, default=None)
            for name in options.__annotations__
            if name not in shown.parameters
        ]
        function.__signature__ = shown.replace(parameters=given)  # type: ignore[attr-defined]
        return function

    return spell_out


class AsyncHandles(Protocol[R_co]):
    """A job whose ``handle`` is a coroutine function."""

    def handle(self, ctx: Context, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R_co]:
        """Run the job."""
        ...


class PlainHandles(Protocol[R_co]):
    """A job whose ``handle`` is a plain function."""

    def handle(self, ctx: Context, /, *args: Any, **kwargs: Any) -> R_co:
        """Run the job."""
        ...


class Producer(Operator):
    """What producers ask of a queue, beside what its handles ask."""

    _builder: Builder
    _dispatcher: Dispatcher
    _inline: InlineRunner | None

    @overload
    async def dispatch(
        self, job: AsyncHandles[R], **options: Unpack[OneOptions]
    ) -> JobHandle[R]: ...
    @overload
    async def dispatch(
        self, job: PlainHandles[R], **options: Unpack[OneOptions]
    ) -> JobHandle[R]: ...
    @overload
    async def dispatch(self, job: Job, **options: Unpack[OneOptions]) -> JobHandle[Any]: ...
    @spelled_out(OneOptions)
    async def dispatch(
        self,
        job: Any,
        *,
        within: object | None = None,
        after_commit: bool | None = None,
        **options: Any,
    ) -> JobHandle[Any]:
        """Store a job; it is durable when this returns.

        ``queue``, ``priority``, ``max_attempts``, ``timeout`` (seconds per attempt) and
        ``backoff`` outrank what the class says. ``delay`` (seconds) or ``at`` (an aware
        datetime) say when it is due; a past one means at once. ``id`` replaces the generated
        one; where it is known already nothing is stored and the handle says ``duplicate``.

        ``within`` takes your own open connection: the job exists if and only if its
        transaction commits. Inside ``ctx.transaction()`` the job is part of that transaction
        by itself; ``after_commit=True`` stores it after the commit instead, in a step of its
        own. On rollback neither exists. ``after_commit=False``, which is neither, raises
        ``DriverError`` there.

        Raises ``TypeError`` and ``ValueError`` for what is no job or no option,
        :class:`~asyncqueue.errors.PayloadError`, ``PayloadTooLarge``, ``DriverUnavailable``,
        ``TransactionUnsupported``; nothing is stored then.
        """
        given = DispatchOptions(**options) if options else NO_OPTIONS
        record = self._builder.record(job, given, self.driver.clock)
        duplicates = await self._store([record], within, after_commit)
        return self._handle(record, type(job), duplicates[0])

    @spelled_out(ManyOptions)
    async def dispatch_many(
        self,
        jobs: Iterable[Job],
        *,
        within: object | None = None,
        after_commit: bool | None = None,
        **options: Any,
    ) -> list[JobHandle[Any]]:
        """Store all of these jobs or none; options as for :meth:`dispatch`, for each of them."""
        given = DispatchOptions(**options) if options else NO_OPTIONS
        if given.id is not None:
            raise TypeError("dispatch_many() cannot give several jobs one id; leave id= out")
        if isinstance(jobs, Job) or not isinstance(jobs, Iterable):
            raise TypeError(f"dispatch_many() takes a list of jobs, got {jobs!r}")
        jobs = list(jobs)
        records = self._builder.records(jobs, given, self.driver.clock)
        if not records:
            await self.ready()
            return []
        for record in records:
            record.together = records[0].id
        duplicates = await self._store(records, within, after_commit)
        return [
            self._handle(record, type(job), duplicate)
            for record, job, duplicate in zip(records, jobs, duplicates, strict=True)
        ]

    @spelled_out(OneOptions)
    async def dispatch_named(
        self,
        name: str,
        payload: dict[str, Any],
        queue: str | None = None,
        *,
        within: object | None = None,
        after_commit: bool | None = None,
        **options: Any,
    ) -> JobHandle[Any]:
        """Dispatch by the registered name of a job and a dict of its fields.

        Raises :class:`~asyncqueue.errors.UnknownJob` when nobody registered the name; the rest
        as :meth:`dispatch`.
        """
        maker = self.registry.find(name)
        kind = fold(name)
        given = DispatchOptions(queue=queue, **options)
        record = self._builder.record_of_fields(kind, payload, maker, given, self.driver.clock)
        duplicates = await self._store([record], within, after_commit)
        return self._handle(record, maker, duplicates[0])

    async def store_record(self, record: Record) -> str | None:
        """Store a record that a scheduler made; the id of the job in its way, if there is one."""
        return (await self._store([record], None, None))[0]

    async def _store(
        self,
        records: list[Record],
        within: object | None,
        after_commit: bool | None,
        latches: Sequence[Latch] = (),
    ) -> list[str | None]:
        driver = self.driver if self._open else await self.ready()
        records = self.seal.closed(records)
        if within is not None:
            # Nobody knows when the caller's transaction commits, so no event is sent.
            return await driver.enqueue(records, within=within, **_linked(latches))
        if after_commit is None:
            within = enclosing_connection(driver)
            if within is not None:
                duplicates = await driver.enqueue(records, within=within, **_linked(latches))
                wait_for_commit(lambda: self._announce(records, duplicates))
                return duplicates
        elif not after_commit:
            refuse_in_transaction(driver, "dispatch(after_commit=False)")
        elif wait_for_commit(lambda: self._store_now(records, latches)):
            return [None] * len(records)
        return await self._store_now(records, latches)

    async def _store_now(self, records: list[Record], latches: Sequence[Latch]) -> list[str | None]:
        if latches:
            if self.driver.in_process:
                await asyncio.sleep(0)  # Such a driver never waits; its worker must have its turn.
            duplicates = await self.driver.enqueue(records, latches=latches)
        else:
            duplicates = await self._dispatcher.store(records)
        if self._inline is None and self.listeners.wants(JobQueued):
            await self._announce(records, duplicates)
        return duplicates

    async def _announce(self, records: list[Record], duplicates: list[str | None]) -> None:
        if self.listeners.wants(JobQueued):
            for record, duplicate in zip(records, duplicates, strict=True):
                if duplicate is None and record.held is None:
                    self._send_queued(record)

    def _send_queued(self, record: Record) -> None:
        self.listeners.send(
            JobQueued(
                at=now_of(self.driver.clock),
                job_id=record.id,
                name=record.name,
                queue=record.queue,
                attempt=0,
                max_attempts=record.max_attempts or self.settings.max_attempts,
                trace=current_trace(),
                delay=record.delay,
            )
        )

    def _handle(self, record: Record, maker: Any, duplicate: str | None) -> JobHandle[Any]:
        if duplicate is None:
            return JobHandle(self, record.id, maker)
        return JobHandle(self, duplicate, maker, duplicate=True)


def _linked(latches: Sequence[Latch]) -> dict[str, Any]:
    """Drivers that have no latches need not know the argument."""
    return {"latches": latches} if latches else {}
