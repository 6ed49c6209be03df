"""From the jobs of batches and chains to what is stored of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from asyncqueue.batch import BatchData
from asyncqueue.callbacks import CallbackJob, When, callbacks
from asyncqueue.job import Job
from asyncqueue.links import BatchLink, Link
from asyncqueue.queue.build import NO_OPTIONS, Builder, DispatchOptions
from asyncqueue.record import Latch, On, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.base import Driver
    from asyncqueue.settings import Settings

    Callback = Job | str | Callable[..., Any]

SHORTEST_RETENTION = 3600.0
"""Seconds that the store keeps a finished batch at least: its callbacks ask for it."""


class BatchPlan(msgspec.Struct):
    """A batch before it is dispatched."""

    id: str
    jobs: list[Any]
    name: str = ""
    queue: str | None = None
    failures_allowed: bool = False
    callbacks: list[tuple[On, Any]] = []
    dispatched: bool = False


class Linker:
    """Makes records of the members, links and callbacks of one queue's batches and chains."""

    def __init__(self, builder: Builder, settings: Settings, driver: Driver) -> None:
        self._builder = builder
        self._settings = settings
        self._driver = driver

    @property
    def _clock(self) -> Clock:
        return self._driver.clock

    def members(
        self, batch_id: str, jobs: Sequence[Any], queue: str | None, near: str | None = None
    ) -> list[Record]:
        """Members of a batch; they hold no uniqueness keys.

        ``queue`` outranks their own, ``near`` does not. Raises ``TypeError`` naming the position
        of what is not a job.
        """
        for position, job in enumerate(jobs):
            if not isinstance(job, Job):
                raise TypeError(
                    f"A batch takes jobs; number {position} of {len(jobs)}, counted from 0, is "
                    f"{job!r}. Nothing was stored."
                )
        if queue is None and near is not None:
            records = [self._builder.record(job, _near(job, near), self._clock) for job in jobs]
        else:
            given = NO_OPTIONS if queue is None else DispatchOptions(queue=queue)
            records = self._builder.records(jobs, given, self._clock)
        return [_without_key(record, latch=batch_id) for record in records]

    def batch(self, plan: BatchPlan, near: str | None = None) -> BatchLink:
        """A batch, ready to be stored; ``near`` is the queue of the chain that it is a link of."""
        records = self.members(plan.id, plan.jobs, plan.queue, near)
        place = self.place(plan.queue or near, records[0])
        for on, callback in plan.callbacks:
            record = self.callback(callback, _WHEN[on], place)
            records.append(replace(record, latch=plan.id, held=on, guards=on is not On.END))
        kept = self._settings.retention
        data = BatchData(plan.name, plan.queue or "", near or "", kept)
        latch = Latch(
            plan.id,
            msgspec.msgpack.encode(data),
            breaks=not plan.failures_allowed,
            retention=max(kept, SHORTEST_RETENTION),
        )
        return BatchLink(latch, records)

    def place(self, queue: str | None, first: Record) -> DispatchOptions:
        """Where callbacks go: on this queue, or to whoever serves the first job."""
        if queue is not None:
            return DispatchOptions(queue=queue)
        return DispatchOptions(queue=first.queue, priority=first.priority)

    def callback(self, callback: Callback, when: When, place: DispatchOptions) -> Record:
        """The record of what a callback is: a job, a registered name, or a local function.

        Raises ``TypeError`` for anything else, ``ValueError`` for a function of this process
        where another one may have to call it.
        """
        if isinstance(callback, Job):
            return _without_key(self._builder.record(callback, _near(callback, place), self._clock))
        if isinstance(callback, str) and callback:
            name = callback
        elif callable(callback) and not isinstance(callback, type):
            self._refuse_local(callback)
            name = callbacks.keep(callback)
        else:
            raise TypeError(
                f"A callback is a job, a registered name or a function; got {callback!r}"
            )
        return self._builder.record(CallbackJob(name, when), place, self._clock)

    def link(self, job: Any, queue: str | None) -> Link:
        """One link of a chain. A job that says its queue itself keeps it."""
        if isinstance(job, BatchPlan):
            return Link(batch=self.batch(job, queue))
        given = NO_OPTIONS if queue is None or not isinstance(job, Job) else _near(job, queue)
        return Link(job=_without_key(self._builder.record(job, given, self._clock)))

    def _refuse_local(self, callback: Callable[..., Any]) -> None:
        if not self._driver.in_process:
            name = getattr(callback, "__qualname__", repr(callback))
            raise ValueError(
                f"The function {name} exists in this process only, and with the "
                f"{self._driver.name} driver another one may have to call it: give it a name with "
                "register_callback() where workers import it and pass the name, or pass a job."
            )


_WHEN: dict[On, When] = {On.SUCCESS: "then", On.FAILURE: "catch", On.END: "finally"}


def _near(job: Job, place: str | DispatchOptions) -> DispatchOptions:
    """Dispatch it there, unless it says itself where, or how urgent it is."""
    options = type(job).__job_options__
    if options.queue:
        return NO_OPTIONS
    if isinstance(place, str):
        return DispatchOptions(queue=place)
    return place if options.priority is None else DispatchOptions(queue=place.queue)


def _without_key(record: Record, **changes: Any) -> Record:
    """A uniqueness key could keep it from being stored, and all that waits for it from going on."""
    if record.key is None:
        for name, value in changes.items():
            setattr(record, name, value)
        return record
    return replace(record, key=None, key_ttl=None, key_until_claimed=False, **changes)
