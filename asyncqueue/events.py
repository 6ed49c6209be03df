"""What listeners are told, after the store shows the fact. Frozen structs, no behaviour."""

from __future__ import annotations

from datetime import datetime

import msgspec

from asyncqueue.trace import Trace


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events: a listener on it hears everything.

    ``at`` is the time by the store's clock, aware and in UTC.
    """

    at: datetime


class JobEvent(Event, frozen=True, kw_only=True):
    """Base of the events of one job. ``attempt`` is 0 before the first run."""

    job_id: str
    name: str
    queue: str
    attempt: int
    max_attempts: int
    trace: Trace | None = None


class JobQueued(JobEvent, frozen=True, kw_only=True):
    """The store has the job; it is due in ``delay`` seconds."""

    delay: float = 0.0


class JobProcessing(JobEvent, frozen=True, kw_only=True):
    """An attempt starts."""


class JobProcessed(JobEvent, frozen=True, kw_only=True):
    """The job completed; the attempt took ``duration`` seconds."""

    duration: float


class JobRetrying(JobEvent, frozen=True, kw_only=True):
    """An attempt failed; the next one is due in ``delay`` seconds."""

    error: BaseException
    delay: float


class JobFailed(JobEvent, frozen=True, kw_only=True):
    """The job failed for good; its last attempt took ``duration`` seconds."""

    error: BaseException
    duration: float


class JobReleased(JobEvent, frozen=True, kw_only=True):
    """The handler asked to run again in ``delay`` seconds."""

    delay: float


class JobCancelled(JobEvent, frozen=True, kw_only=True):
    """An operator cancelled the job."""


class BatchEvent(Event, frozen=True, kw_only=True):
    """Base of the events of one batch, with its counters just after what is told.

    ``progress`` is in percent.
    """

    batch_id: str
    name: str
    total: int
    completed: int
    failed: int
    progress: float

    @property
    def has_failures(self) -> bool:
        """Whether a job of it failed."""
        return self.failed > 0


class BatchCreated(BatchEvent, frozen=True, kw_only=True):
    """The store has the batch and its jobs; ``queue`` is that of the batch, if it has one."""

    queue: str | None = None


class BatchJobCompleted(BatchEvent, frozen=True, kw_only=True):
    """A job of the batch completed."""


class BatchJobFailed(BatchEvent, frozen=True, kw_only=True):
    """A job of the batch failed for good."""

    error: BaseException


class BatchCancelled(BatchEvent, frozen=True, kw_only=True):
    """The waiting jobs of the batch are skipped from now on."""


class BatchCompleted(BatchEvent, frozen=True, kw_only=True):
    """Nothing of the batch is pending any more; ``failed`` tells whether all went well."""


class WorkerEvent(Event, frozen=True, kw_only=True):
    """Base of the events of one worker."""

    worker_id: str
    queues: tuple[str, ...]


class WorkerStarted(WorkerEvent, frozen=True, kw_only=True):
    """A worker takes jobs from now on."""


class WorkerStopping(WorkerEvent, frozen=True, kw_only=True):
    """A worker takes no more jobs; ``reason`` says why."""

    reason: str


class QueuePaused(Event, frozen=True, kw_only=True):
    """Nothing new starts from this queue until it is resumed."""

    queue: str


class QueueBusy(Event, frozen=True, kw_only=True):
    """A check found ``size`` jobs waiting, and ``threshold`` is where a queue counts as busy."""

    queue: str
    size: int
    threshold: int


class QueueResumed(Event, frozen=True, kw_only=True):
    """Jobs of this queue start again."""

    queue: str
