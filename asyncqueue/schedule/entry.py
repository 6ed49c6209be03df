"""What a scheduler knows of one entry, and what it shows of it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncqueue.job import Job
from asyncqueue.options import check_queue, is_storable

if TYPE_CHECKING:
    from asyncqueue.schedule.slots import Slot, Timing

MOST_OF_A_NAME: Final = 120
"""Characters, so that an id has room for it."""

JobSource = Job | Callable[[], Job] | Callable[[], Awaitable[Job]]
"""A job, or a function that makes one for each slot."""


class Fallback(str):
    """The queue of jobs that do not name their own; one that is given outranks those, too."""

    __slots__ = ()


SCHEDULED: Final = Fallback("scheduled")
RECURRING: Final = Fallback("recurring")


class ScheduleEntry(msgspec.Struct, frozen=True):
    """An entry as its scheduler shows it.

    ``next_due`` is in the entry's time zone; None where no further slot comes. ``job`` is the
    kind of a job, or the name of the function that makes one.
    """

    name: str
    expression: str
    timezone: str
    queue: str
    job: str
    overlap: bool
    next_due: datetime | None


class Entry:
    """One entry: when, what, and where to."""

    def __init__(
        self,
        name: str,
        expression: str,
        timing: Timing,
        job: JobSource,
        queue: str,
        *,
        fallback: Fallback = SCHEDULED,
        overlap: bool = True,
    ) -> None:
        given = check_queue(queue, f'schedule "{name}": queue')
        self.name = name
        self.expression = expression
        self.timing = timing
        self.job = job
        self.overlap = overlap
        self.queue = None if isinstance(given, Fallback) else given
        """The queue that was given, which outranks the job's own."""
        self.fallback = str(fallback)
        """The queue of jobs that have none of their own."""

    @property
    def key(self) -> str:
        """The uniqueness key that a run holds where runs must not overlap."""
        return f"schedule:{self.name}"

    def id_of(self, slot: Slot) -> str:
        """The id of the job of this slot: the same in every process, so one of them stores it."""
        return f"schedule:{self.name}:{self.timing.mark(slot)}"

    def shown(self, slot: Slot | None) -> ScheduleEntry:
        """The entry to show, with its next slot."""
        zone = self.timing.zone
        return ScheduleEntry(
            self.name,
            self.expression,
            str(zone),
            self.queue or _own_queue(self.job) or self.fallback,
            _called(self.job),
            self.overlap,
            None if slot is None else datetime.fromtimestamp(slot.due, zone),
        )

    async def make_job(self) -> Job:
        """The job of one slot; raises what its function raises."""
        if isinstance(self.job, Job):
            return self.job
        made: Any = self.job()
        if inspect.isawaitable(made):
            made = await made
        if not isinstance(made, Job):
            raise TypeError(f"{_called(self.job)}() must return a job, got {made!r}")
        return made


def check_name(name: str) -> str:
    """A name that tells an entry from all others, in every process."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a schedule must be a text, got {name!r}")
    if not 0 < len(name) <= MOST_OF_A_NAME or not is_storable(name):
        raise ValueError(
            f"the name of a schedule must be a text of 1 to {MOST_OF_A_NAME} characters, without "
            f"zero bytes and surrogates; got {name!r}"
        )
    return name


def check_job(name: str, job: JobSource) -> JobSource:
    """A job, or what can be called without arguments to make one."""
    if isinstance(job, Job):
        return job
    if not callable(job):
        raise TypeError(
            f'schedule "{name}": a job or a function that makes one is needed, got {job!r}'
        )
    try:
        inspect.signature(job).bind()
    except TypeError as error:
        raise TypeError(
            f'schedule "{name}": {_called(job)} is called without arguments to make each job, but '
            f"{error}; give a job, {_called(job)}(…), or a function that needs no argument"
        ) from error
    except ValueError:
        return job  # It does not say what it takes; its first call will tell.
    return job


def _own_queue(job: JobSource) -> str | None:
    """The queue that the job names, where that is known without making one."""
    options: Any = getattr(job, "__job_options__", None)
    queue: Any = getattr(options, "queue", None)
    if callable(queue):
        return str(queue(job)) if isinstance(job, Job) else None
    return queue  # type: ignore[no-any-return]


def _called(job: JobSource) -> str:
    """The kind of a job, or the name of the function that makes one."""
    named: Any = job
    for attribute in ("__job_name__", "__qualname__"):
        found = getattr(named, attribute, None)
        if isinstance(found, str):
            return found
    return repr(job)
