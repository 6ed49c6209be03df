"""The queue: dispatching jobs, looking after them, and operating queues."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, overload

import anyio

from asyncqueue.after_commit import after_commit as wait_for_commit
from asyncqueue.drivers.base import Driver
from asyncqueue.drivers.registry import driver_from
from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.errors import ConfigError, JobNotFound, QueueClosed
from asyncqueue.events import JobCancelled, JobQueued, QueuePaused, QueueResumed
from asyncqueue.lanes import source_of, split_lane
from asyncqueue.listeners import Listeners
from asyncqueue.options import check_middleware, check_queue
from asyncqueue.queue.build import NO_OPTIONS, DispatchOptions, record_of, record_of_fields
from asyncqueue.queue.dispatcher import Dispatcher
from asyncqueue.queue.failed import FailedStore
from asyncqueue.queue.handle import JobHandle
from asyncqueue.queue.info import (
    JobInfo,
    Page,
    QueueStats,
    WorkerInfo,
    check_page,
    job_info,
    worker_info,
)
from asyncqueue.queue.inline import InlineRunner
from asyncqueue.record import FINISHED, WAITING, Filter, State, StoredJob
from asyncqueue.registry import Registry, default_registry, fold
from asyncqueue.services import check_services
from asyncqueue.settings import Settings
from asyncqueue.trace import current_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.context import Context
    from asyncqueue.events import Event
    from asyncqueue.job import Job
    from asyncqueue.options import BackoffOption
    from asyncqueue.record import Record

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
E = TypeVar("E", bound="Event")

log = logging.getLogger("asyncqueue.queue")


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


class Attached(Protocol):
    """A worker of this process, as its queue sees it."""

    async def stop(self, timeout: float | None = None) -> None:
        """Stop and wait."""
        ...

    async def finish(self, timeout: float) -> None:
        """Take nothing new, let what runs end for this long, then stop."""
        ...


class Queue:
    """A handle on one store of jobs.

    ``url`` is a URL such as ``sqlite:///queue.db``, or an open or unopened driver; without it
    the settings decide. Constructing does no I/O: the queue opens itself on first use, or in
    ``async with``. It closes what it opened from a URL, and nothing else; after that every call
    raises :class:`~asyncqueue.errors.QueueClosed`.

    Raises :class:`~asyncqueue.errors.UnknownDriver` and ``ConfigError`` for a URL that cannot
    be understood. Every call that needs the store raises ``DriverUnavailable`` within a bounded
    time when it cannot be reached, with nothing half-stored.
    """

    def __init__(
        self,
        url: str | Driver | None = None,
        *,
        settings: Settings | None = None,
        registry: Registry | None = None,
        services: Sequence[Any] | Mapping[str, Any] = (),
        middleware: Sequence[Callable[..., Any]] = (),
        clock: Clock | None = None,
    ) -> None:
        self.settings = _checked(settings)
        self.registry = default_registry if registry is None else registry
        self.services = check_services(services)
        self.middleware = check_middleware(middleware)
        self.listeners = Listeners()
        self._owns_driver = not isinstance(url, Driver)
        self.driver: Driver = (
            url
            if isinstance(url, Driver)
            else driver_from(self.settings if url is None else url, self.settings)
        )
        if clock is not None:
            self.driver.clock = clock
        self.failed = FailedStore(self.ready)
        self._dispatcher = Dispatcher(self.driver)
        self._inline = InlineRunner.bind(self)
        self._workers: list[Attached] = []
        self._opening: asyncio.Lock | None = None
        self._open = False
        self._closed = False

    @classmethod
    def from_env(cls, env_file: str = ".env", **options: Any) -> Queue:
        """A queue as the environment (and ``env_file``) describes it."""
        return cls(settings=Settings.from_env(env_file), **options)

    # Life

    async def ready(self) -> Driver:
        """The open driver; opens it on first use."""
        if self._open:
            return self.driver
        self._refuse_if_closed()
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if not self._open:
                await self.driver.open()
                if self._closed:  # Meanwhile.
                    await self._close_driver()
                self._refuse_if_closed()
                self._open = True
        return self.driver

    async def close(self) -> None:
        """Stop workers of this process, store what was dispatched, close. Harmless twice."""
        if self._closed:
            return
        for worker in tuple(self._workers):
            await worker.stop()
        self._closed = True
        self._open = False
        await self._dispatcher.drained()
        await self.listeners.drained()
        if self._inline is not None:
            await self._inline.close()
        await self._close_driver()

    async def shutdown(self, timeout: Duration) -> None:
        """Wait for work in flight in this process, ``timeout`` seconds at most; then close."""
        if self._closed:
            return
        seconds = max(to_finite_seconds(timeout, "timeout"), 0.0)
        await asyncio.gather(*(worker.finish(seconds) for worker in tuple(self._workers)))
        await self.close()

    def attach(self, worker: Attached) -> None:
        """A worker on this queue starts: it ends before the queue closes."""
        if worker not in self._workers:
            self._workers.append(worker)

    def detach(self, worker: Attached) -> None:
        """A worker on this queue ended."""
        if worker in self._workers:
            self._workers.remove(worker)

    async def __aenter__(self) -> Self:
        await self.ready()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # The shield keeps an enclosing cancel scope from cancelling this wait over and over.
        with anyio.CancelScope(shield=True):
            await self.close()

    async def ping(self) -> None:
        """Raise :class:`~asyncqueue.errors.DriverUnavailable` with the reason, or return."""
        await (await self.ready()).ping()

    # Dispatch

    @overload
    async def dispatch(
        self,
        job: AsyncHandles[R],
        *,
        queue: str | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        id: str | None = None,
        max_attempts: int | None = None,
        timeout: Duration | None = None,
        backoff: BackoffOption | None = None,
        within: object | None = None,
        after_commit: bool | None = None,
    ) -> JobHandle[R]: ...
    @overload
    async def dispatch(
        self,
        job: PlainHandles[R],
        *,
        queue: str | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        id: str | None = None,
        max_attempts: int | None = None,
        timeout: Duration | None = None,
        backoff: BackoffOption | None = None,
        within: object | None = None,
        after_commit: bool | None = None,
    ) -> JobHandle[R]: ...
    @overload
    async def dispatch(
        self,
        job: Job,
        *,
        queue: str | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        id: str | None = None,
        max_attempts: int | None = None,
        timeout: Duration | None = None,
        backoff: BackoffOption | None = None,
        within: object | None = None,
        after_commit: bool | None = None,
    ) -> JobHandle[Any]: ...
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
        transaction commits. ``after_commit=True`` inside ``ctx.transaction()`` stores the job
        when that commits, and never on rollback.

        Raises ``TypeError`` and ``ValueError`` for what is no job or no option,
        :class:`~asyncqueue.errors.PayloadError`, ``PayloadTooLarge``, ``DriverUnavailable``,
        ``TransactionUnsupported``; nothing is stored then.
        """
        given = DispatchOptions(**options) if options else NO_OPTIONS
        record = record_of(job, given, self.settings, self.driver.clock)
        duplicates = await self._store([record], within, after_commit)
        return self._handle(record, type(job), duplicates[0])

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
        jobs = list(jobs)
        clock = self.driver.clock
        records = [record_of(job, given, self.settings, clock) for job in jobs]
        if not records:
            await self.ready()
            return []
        duplicates = await self._store(records, within, after_commit)
        return [
            self._handle(record, type(job), duplicate)
            for record, job, duplicate in zip(records, jobs, duplicates, strict=True)
        ]

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
        record = record_of_fields(kind, payload, maker, given, self.settings, self.driver.clock)
        duplicates = await self._store([record], within, after_commit)
        return self._handle(record, maker, duplicates[0])

    async def _store(
        self, records: list[Record], within: object | None, after_commit: bool | None
    ) -> list[str | None]:
        driver = self.driver if self._open else await self.ready()
        if within is not None:
            # Nobody knows when the caller's transaction commits, so no event is sent.
            return await driver.enqueue(records, within=within)
        if after_commit and wait_for_commit(lambda: self._store_now(records)):
            return [None] * len(records)
        return await self._store_now(records)

    async def _store_now(self, records: list[Record]) -> list[str | None]:
        duplicates = await self._dispatcher.store(records)
        if self._inline is None and self.listeners.wants(JobQueued):
            for record, duplicate in zip(records, duplicates, strict=True):
                if duplicate is None:
                    self._send_queued(record)
        return duplicates

    def _send_queued(self, record: Record) -> None:
        self.listeners.send(
            JobQueued(
                at=datetime.now(UTC),
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

    # Look

    async def size(self, queue: str) -> int:
        """Waiting jobs of a queue, or of one lane: ready and delayed, not running."""
        source = source_of(_named(queue))
        driver = await self.ready()
        return await driver.count(Filter(source=source, states=WAITING))

    async def status(self, id: str) -> JobInfo:
        """One job; :class:`~asyncqueue.errors.JobNotFound` if the store has no record of it."""
        return self._info(await self._find(id))

    async def jobs(
        self,
        *,
        queue: str | None = None,
        state: str | None = None,
        name: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[JobInfo]:
        """A page of jobs, newest first; pass its ``next`` as ``cursor`` for the one after it."""
        check_page(limit)
        driver = await self.ready()
        which = Filter(
            source=source_of(queue) if queue else None,
            states=None if state is None else (_state(state),),
            name=fold(name) if name else None,
        )
        found = await driver.find(which, limit=limit, cursor=cursor)
        return Page([self._info(stored) for stored in found.items], found.next)

    async def stats(self) -> dict[str, QueueStats]:
        """Counts by queue: of every queue with a record or a pause, and of the default one."""
        driver = await self.ready()
        counts = await driver.counts()
        paused = set(await driver.paused())
        names = sorted({*counts, *paused, split_lane(self.settings.default)[0]})
        stats: dict[str, QueueStats] = {}
        for name in names:
            count = counts.get(name)
            stats[name] = QueueStats(
                pending=count.pending if count else 0,
                delayed=count.delayed if count else 0,
                processing=count.processing if count else 0,
                completed=count.completed if count else 0,
                failed=count.failed if count else 0,
                paused=name in paused,
                oldest_seconds=count.oldest_seconds if count else 0.0,
            )
        return stats

    async def workers(self) -> list[WorkerInfo]:
        """The live workers on this store, in whatever process."""
        driver = await self.ready()
        return [worker_info(presence) for presence in await driver.workers()]

    async def wait_finished(self, id: str, timeout: Duration | None = None) -> StoredJob:
        """Wait until a job is finished; for :meth:`JobHandle.result`."""
        seconds = None if timeout is None else to_finite_seconds(timeout, "timeout")
        driver = await self.ready()
        with driver.watch([f"job:{id}"]) as watch:
            async with asyncio.timeout(seconds):
                while True:
                    watch.clear()
                    stored = await self._find(id)
                    if stored.state in FINISHED:
                        return stored
                    await watch.wait(self.settings.poll_interval)

    # Operate

    async def cancel(self, id: str) -> bool:
        """Cancel a job; answers whether it was still waiting or running.

        A waiting one ends as ``cancelled`` now. A running one is cancelled by its worker
        within about a second, without its ``failed`` hook. Raises
        :class:`~asyncqueue.errors.JobNotFound` for an unknown id.
        """
        driver = await self.ready()
        stored = await self._find(id)
        met = await driver.cancel(Filter(ids=(id,)), self.settings.retention)
        state = met.get(id)
        if state in WAITING and self.listeners.wants(JobCancelled):
            self.listeners.send(self._cancelled(stored))
        return state in (*WAITING, State.PROCESSING)

    async def clear(self, queue: str) -> int:
        """Remove the waiting jobs of a queue or lane; answers how many. Never failed records."""
        source = source_of(_named(queue))
        driver = await self.ready()
        return await driver.delete(Filter(source=source, states=WAITING))

    async def pause(self, queue: str) -> None:
        """Start nothing new from this queue, in any worker; what runs goes on."""
        for name in await self._pause(queue, on=True):
            self.listeners.send(QueuePaused(at=datetime.now(UTC), queue=name))

    async def resume(self, queue: str) -> None:
        """Undo :meth:`pause`."""
        for name in await self._pause(queue, on=False):
            self.listeners.send(QueueResumed(at=datetime.now(UTC), queue=name))

    async def paused(self) -> list[str]:
        """The names of the paused queues."""
        return await (await self.ready()).paused()

    def on(
        self, event_type: type[E], listener: Callable[[E], Awaitable[None] | object]
    ) -> Callable[[], None]:
        """Call ``listener`` for these events of this queue object and its workers.

        A coroutine function runs beside the jobs; a plain one at once, so it must be quick.
        Answers a function that ends it.
        """
        return self.listeners.on(event_type, listener)

    # Inside

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise QueueClosed("This queue was closed; build a new Queue to go on.")

    async def _close_driver(self) -> None:
        if self._owns_driver:
            await self.driver.close()

    async def _pause(self, queue: str, *, on: bool) -> list[str]:
        name, lane = split_lane(_named(queue))
        if lane is not None:
            raise ValueError(f'Only whole queues can be paused: use "{name}", not {queue!r}')
        return await (await self.ready()).pause([name], on)

    async def _find(self, id: str) -> StoredJob:
        driver = await self.ready()
        found = await driver.find(Filter(ids=(id,)), limit=1)
        if not found.items:
            raise JobNotFound(
                f"No job {id!r}: it was never stored here, or its record is past its retention."
            )
        return found.items[0]

    def _info(self, stored: StoredJob) -> JobInfo:
        return job_info(stored, self.registry, self.settings.max_attempts)

    def _cancelled(self, stored: StoredJob) -> JobCancelled:
        return JobCancelled(
            at=datetime.now(UTC),
            job_id=stored.id,
            name=stored.name,
            queue=stored.queue,
            attempt=stored.attempts,
            max_attempts=stored.max_attempts or self.settings.max_attempts,
        )

    def __repr__(self) -> str:
        return f"<Queue on {self.driver.name}{' closed' if self._closed else ''}>"


def _checked(settings: Settings | None) -> Settings:
    """What cannot be kept must not be promised: this version neither signs nor encrypts."""
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise TypeError(f"settings must be a Settings(…), got {settings!r}")
    for name in ("signing_keys", "encryption_keys"):
        if getattr(settings, name):
            raise ConfigError(
                f"QUEUE_{name.upper()} is set, but this version of asyncqueue does not sign or "
                "encrypt jobs. Unset it, or keep secrets out of the payloads."
            )
    return settings


def _named(queue: str) -> str:
    name = check_queue(queue)
    if name is None:
        raise ValueError(f'say which queue, such as "default"; got {queue!r}')
    return name


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise ValueError(f"state must be one of {', '.join(State)}; got {text!r}") from None
