"""The scheduler: what its owner holds."""

from __future__ import annotations

import asyncio
import contextvars
from contextvars import ContextVar
from typing import TYPE_CHECKING, Self

import anyio

from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.job import Job
from asyncqueue.queue import Queue
from asyncqueue.schedule.entry import (
    RECURRING,
    SCHEDULED,
    Entry,
    JobSource,
    ScheduleEntry,
    check_job,
    check_name,
)
from asyncqueue.schedule.expressions import interval_of, timing_of
from asyncqueue.schedule.firing import Firing, slot_record
from asyncqueue.schedule.slots import Slot, take, upcoming
from asyncqueue.schedule.timetable import Line, Timetable, log

if TYPE_CHECKING:
    from contextvars import Context as Variables
    from datetime import datetime, tzinfo

_inside: ContextVar[Scheduler | None] = ContextVar("asyncqueue_scheduler", default=None)


class Scheduler:
    """Dispatches jobs by the calendar and by intervals: ``await scheduler.run()``.

    ``async with scheduler:`` runs it beside the block, ``Worker(queue, scheduler=scheduler)``
    inside a worker. It is made for one event loop and, like a queue, does no I/O until it runs.

    Any number of processes may run the same entries on one store, without a leader: each slot
    of a name is dispatched once in all, as long as their clocks differ by no more than 5
    minutes. So names belong to the store: two programs that share one need different names.
    A slot that comes while no scheduler runs is not made up for. One that a running scheduler
    could not dispatch in time (the process stood still, the store was away) is dispatched up to 5
    minutes late; of several, the latest.
    """

    def __init__(self, queue: Queue) -> None:
        if not isinstance(queue, Queue):
            raise TypeError(
                f'A scheduler needs the Queue to dispatch to, got {queue!r}; Scheduler(Queue("…"))'
            )
        self.queue = queue
        self._entries: dict[str, Entry] = {}
        self._timetable: Timetable | None = None
        self._firings: dict[asyncio.Task[None], Firing] = {}
        self._main: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._fault: Exception | None = None
        self._variables: Variables = contextvars.Context()

    # Entries

    def cron(
        self,
        name: str,
        expression: str,
        job: JobSource,
        *,
        timezone: str | tzinfo = "UTC",
        queue: str = SCHEDULED,
        overlap: bool = True,
    ) -> None:
        """Dispatch a job whenever a cron expression comes true in ``timezone``.

        ``expression``: five fields (minute, hour, day of month, month, day of week; Sunday is 0
        or 7; either day matches where both are given), ``@hourly``, ``@daily``, ``@weekly``,
        ``@monthly``, ``@yearly``, or ``@every 5m``. ``job``: a job, or a function that makes one
        for each slot, async or plain; a plain one must not block. ``queue`` outranks the job's own
        queue if it is given; ``"scheduled"`` is for jobs without one. With ``overlap=False`` a
        slot is skipped while the job of an earlier one is waiting or running, anywhere, but for
        24 hours at most; a job that is ``unique`` goes by its own key instead.

        While it runs, a new entry takes part from its next slot. Raises ``ValueError`` or
        ``TypeError`` naming the entry and what is wrong with it; nothing is added then.
        """
        timing = timing_of(check_name(name), expression, timezone)
        if not isinstance(overlap, bool):
            raise TypeError(f'schedule "{name}": overlap must be True or False, got {overlap!r}')
        self._add(Entry(name, expression, timing, check_job(name, job), queue, overlap=overlap))

    def every(
        self, name: str, interval: Duration, job: JobSource, *, queue: str = RECURRING
    ) -> None:
        """Dispatch a job every ``interval`` seconds, the first time one interval after the start.

        Of several processes, the one whose turn comes first in an interval dispatches; intervals
        are counted from the epoch. The rest is as for :meth:`cron`; ``"recurring"`` is the queue
        of jobs without one.
        """
        timing = interval_of(check_name(name), interval)
        expression = f"@every {timing.seconds:g}s"
        checked = check_job(name, job)
        self._add(Entry(name, expression, timing, checked, queue, fallback=RECURRING))

    def entries(self) -> list[ScheduleEntry]:
        """All entries, in the order in which they were added, with their next slots."""
        return [entry.shown(self._coming(entry)) for entry in self._entries.values()]

    def upcoming(self, name: str, count: int = 10) -> list[datetime]:
        """The next times of an entry, in its time zone. ``KeyError`` for an unknown name."""
        entry = self._entries[name]
        return take(upcoming(entry.timing, self._coming(entry)), count)

    def _add(self, entry: Entry) -> None:
        if entry.name in self._entries:
            raise ValueError(
                f'schedule "{entry.name}": there is an entry of this name already; a name is what '
                "makes the slots of an entry the same in all processes"
            )
        slot = self._first(entry)
        if slot is not None and isinstance(entry.job, Job):
            slot_record(self.queue, entry, slot, entry.job)  # It raises what a dispatch would.
        self._entries[entry.name] = entry
        if self._timetable is not None:
            self._timetable.add(entry)

    def _coming(self, entry: Entry) -> Slot | None:
        if self._timetable is not None and entry.name in self._timetable.lines:
            return self._timetable.lines[entry.name].slot
        return self._first(entry)

    def _first(self, entry: Entry) -> Slot | None:
        return entry.timing.first(self.queue.driver.clock.time())

    # Life

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended yet."""
        return self._main is not None and not self._main.done()

    @property
    def ending(self) -> bool:
        """Whether it was asked to stop and what it was dispatching has not ended yet."""
        return self.running and self._stop.is_set()

    async def start(self) -> None:
        """Start it and return; harmless when it runs. It can be started again after its end.

        Slots after this moment are dispatched. Raises
        :class:`~asyncqueue.errors.DriverUnavailable` when the store cannot be reached.
        """
        await self.queue.ready()
        if self.running:
            return
        self._fault = None
        self._stop = asyncio.Event()
        self._variables = contextvars.Context()
        self._variables.run(_inside.set, self)
        self._timetable = Timetable(self.queue.driver.clock, self._fire, self._broken)
        self._timetable.start(self._entries.values())
        self.queue.attach(self)
        self._main = asyncio.create_task(self._live(), name="asyncqueue-scheduler")
        # What it raises was logged, and whoever waits for its end is told; nobody has to.
        self._main.add_done_callback(lambda main: main.cancelled() or main.exception())
        log.info("Scheduler started; entries: %s", ", ".join(self._entries) or "none")

    async def run(self) -> None:
        """Start it and return when it has ended; a cancellation ends it and all it was doing."""
        await self.start()
        await self.ended()

    async def ended(self) -> None:
        """Return when it has ended. Raises its fault; a cancellation of this call ends it, too."""
        main = self._main
        if main is None:
            return
        try:
            await asyncio.wait([main])
        except asyncio.CancelledError:
            main.cancel()
            # The shield keeps an enclosing cancel scope from cancelling this wait over and over.
            with anyio.CancelScope(shield=True):
                await asyncio.wait([main])
            raise
        if not main.cancelled():
            main.result()

    def request_stop(self) -> None:
        """Dispatch no further slot. What is being dispatched may end; ``run`` returns then."""
        self._stop.set()
        if self._timetable is not None:
            self._timetable.stop()
            self._timetable = None
        for firing in self._firings.values():
            firing.stop()

    async def stop(self, timeout: Duration | None = None) -> None:
        """Dispatch no further slot; return when what was being dispatched is.

        After ``timeout`` seconds that is cancelled. Harmless when it does not run. From inside
        one of its own functions it asks for the stop and returns at once.
        """
        main = self._main
        if main is None or main.done():
            return
        self.request_stop()
        if self.inside():
            return
        seconds = None if timeout is None else max(to_finite_seconds(timeout, "timeout"), 0.0)
        await asyncio.wait([main], timeout=seconds)
        if not main.done():
            main.cancel()
            await asyncio.wait([main])

    async def finish(self, timeout: Duration) -> None:
        """As :meth:`stop` with a timeout."""
        await self.stop(timeout)

    def inside(self) -> bool:
        """Whether the caller runs inside one of its functions, or of its jobs on ``sync``."""
        return _inside.get() is self

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.stop()

    # Inside

    async def _live(self) -> None:
        try:
            await self._stop.wait()
            while self._firings:
                await asyncio.wait(self._firings)
            if self._fault is not None:
                raise self._fault
        finally:
            self.request_stop()
            for task in self._firings:
                task.cancel()
            while self._firings:
                await asyncio.wait(self._firings)
            self.queue.detach(self)
            log.info("Scheduler ended")

    def _fire(self, line: Line, slot: Slot) -> None:
        firing = Firing(self.queue, line, slot)
        # Not in the context of whoever started it or added the entry: that may have been inside
        # a transaction, or a trace, which ended long ago.
        task = asyncio.get_running_loop().create_task(
            firing.fire(),
            name=f"asyncqueue-schedule {line.entry.name}",
            context=self._variables.copy(),
        )
        self._firings[task] = firing
        task.add_done_callback(self._firings.pop)

    def _broken(self, error: Exception) -> None:
        log.critical("The scheduler ended by a fault of its own", exc_info=error)
        self._fault = error
        self.request_stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Scheduler with {len(self._entries)} entries, {state}>"
