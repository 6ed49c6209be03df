"""What a queue answers when it is asked about jobs, queues and workers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from asyncqueue import codec
from asyncqueue.attempts import Attempt, unpacked
from asyncqueue.batch import batch_id_of
from asyncqueue.clock import moment
from asyncqueue.errors import JobError
from asyncqueue.record import WAITING, QueueCounts, State, StoredJob

if TYPE_CHECKING:
    from asyncqueue.record import Presence
    from asyncqueue.registry import Registry
    from asyncqueue.sealing import Seal

T = TypeVar("T")


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One job as the store shows it. ``progress`` is in percent, times are aware and in UTC.

    ``attempts`` counts the run that is going on. ``available_at`` is when it is or was due.
    ``result`` is decoded, or raw bytes where that is impossible. ``worker`` is the id of the one
    that runs it, or ran it to its end. ``history`` tells of up to 100 runs.
    """

    id: str
    name: str
    queue: str
    state: State
    attempts: int
    max_attempts: int
    priority: int
    created_at: datetime
    available_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: float = 0.0
    message: str = ""
    result: Any = None
    error: str | None = None
    batch_id: str | None = None
    worker: str | None = None
    history: list[Attempt] = []


class FailedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that failed for good. ``payload``: its fields, or raw bytes if unreadable."""

    id: str
    queue: str
    name: str
    payload: Any
    error: str
    traceback: str
    attempts: int
    failed_at: datetime
    last_attempt_at: datetime | None = None
    batch_id: str | None = None


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of one queue are in which state, and whether it is paused.

    ``oldest_seconds`` is the age of its oldest due job, 0 where none is due.
    """

    pending: int = 0
    delayed: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    paused: bool = False
    oldest_seconds: float = 0.0


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker. ``running`` holds the ids of its jobs.

    ``last_seen`` is when it last renewed its presence; times are aware and in UTC.
    """

    id: str
    host: str
    pid: int
    queues: list[str]
    concurrency: int
    running: list[str]
    started_at: datetime
    last_seen: datetime


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items; ``next`` is the cursor for the ones after them, None at the end."""

    items: list[T]
    next: str | None = None


class FailedPage(msgspec.Struct, frozen=True):
    """Some failed jobs, newest first, and how many there are in all."""

    items: list[FailedJob]
    total: int


def check_page(limit: int, offset: int = 0, cursor: str | None = None) -> None:
    """Raise ``TypeError`` or ``ValueError`` for a page that cannot be meant."""
    if cursor is not None and not isinstance(cursor, str):
        raise TypeError(f"cursor takes the next of an earlier page, got {cursor!r}")
    if not isinstance(limit, int) or not isinstance(offset, int):
        raise TypeError(f"limit and offset must be whole numbers, got {limit=}, {offset=}")
    if limit < 1 or offset < 0:
        raise ValueError(f"a page needs limit >= 1 and offset >= 0, got {limit=}, {offset=}")


def moment_or_none(seconds: float | None) -> datetime | None:
    """As :func:`moment`; None stays None."""
    return None if seconds is None else moment(seconds)


def job_info(stored: StoredJob, registry: Registry, seal: Seal, default_attempts: int) -> JobInfo:
    """What the store holds of a job, its result decoded."""
    return JobInfo(
        id=stored.id,
        name=stored.name,
        queue=stored.queue,
        state=stored.state,
        attempts=stored.attempts,
        max_attempts=stored.max_attempts or default_attempts,
        priority=stored.priority,
        created_at=moment(stored.created_at),
        available_at=moment(stored.available_at),
        started_at=moment_or_none(stored.started_at),
        finished_at=moment_or_none(stored.finished_at),
        progress=stored.progress or 0.0,
        message=stored.message or "",
        result=_result_or_bytes(stored, registry, seal),
        error=stored.error,
        batch_id=batch_id_of(stored.latch),
        worker=stored.worker,
        history=_history(stored),
    )


def _history(stored: StoredJob) -> list[Attempt]:
    """All attempts that are told of; the last one, or the one that runs, as the job itself has it.

    Those that ended with their worker are missing: nobody was left to tell of them.
    """
    earlier = unpacked(stored.history)
    if stored.started_at is None or stored.state in WAITING:
        return earlier
    ended = stored.finished_at
    last = Attempt(
        number=stored.attempts,
        started_at=stored.started_at,
        duration=0.0 if ended is None else max(ended - stored.started_at, 0.0),
        worker=stored.worker,
        state=stored.state.value,
        error=None if ended is None else stored.error,
        traceback=None if ended is None else stored.traceback,
    )
    return [*earlier, last]


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a worker has at this moment. ``place`` is the line of source it has got to.

    ``seen`` is when its worker was last heard of, and the place was told.
    """

    id: str
    name: str
    queue: str
    attempt: int
    started_at: datetime | None
    worker: str | None
    host: str = ""
    pid: int = 0
    place: str = ""
    progress: float = 0.0
    seen: datetime | None = None


def running_job(stored: StoredJob, presence: Presence | None) -> RunningJob:
    """A job that is being processed, with what its worker tells of it, if that is alive."""
    return RunningJob(
        id=stored.id,
        name=stored.name,
        queue=stored.queue,
        attempt=stored.attempts,
        started_at=moment_or_none(stored.started_at),
        worker=stored.worker,
        host="" if presence is None else presence.host,
        pid=0 if presence is None else presence.pid,
        place="" if presence is None else presence.places.get(stored.id, ""),
        progress=stored.progress or 0.0,
        seen=None if presence is None else moment(presence.last_seen),
    )


def result_of(stored: StoredJob, maker: Any, seal: Seal) -> Any:
    """What a completed job returned.

    Raises :class:`~asyncqueue.errors.SignatureInvalid` and ``PayloadError`` where it cannot be
    trusted or read.
    """
    if stored.result is None:
        return None
    result = seal.open_result(stored.name, stored.id, stored.result)
    return codec.decode_result(stored.name, result, maker)


def failed_job(stored: StoredJob, seal: Seal) -> FailedJob:
    """A record of the failed store, its payload as plain values where that is possible."""
    return FailedJob(
        id=stored.id,
        queue=stored.queue,
        name=stored.name,
        payload=_payload_or_bytes(stored, seal),
        error=stored.error or "",
        traceback=stored.traceback or "",
        attempts=stored.attempts,
        failed_at=moment(stored.finished_at or stored.created_at),
        last_attempt_at=moment_or_none(stored.started_at),
        batch_id=batch_id_of(stored.latch),
    )


def _result_or_bytes(stored: StoredJob, registry: Registry, seal: Seal) -> Any:
    try:
        return result_of(stored, registry.get(stored.name), seal)
    except (JobError, ValueError):  # What stands in a store may be no name at all.
        return stored.result


def _payload_or_bytes(stored: StoredJob, seal: Seal) -> Any:
    try:
        envelope = seal.open(stored.name, stored.id, stored.payload)
        return codec.to_builtins(stored.name, envelope)
    except JobError:
        return stored.payload


def queue_stats(counts: QueueCounts | None, *, paused: bool) -> QueueStats:
    """The counts of a queue; all zero where the store knows none."""
    counts = counts or QueueCounts()
    return QueueStats(
        pending=counts.pending,
        delayed=counts.delayed,
        processing=counts.processing,
        completed=counts.completed,
        failed=counts.failed,
        paused=paused,
        oldest_seconds=counts.oldest_seconds,
    )


def worker_info(presence: Presence) -> WorkerInfo:
    """A worker as it last announced itself."""
    return WorkerInfo(
        id=presence.id,
        host=presence.host,
        pid=presence.pid,
        queues=presence.queues,
        concurrency=presence.concurrency,
        running=presence.running,
        started_at=moment(presence.started_at),
        last_seen=moment(presence.last_seen),
    )
