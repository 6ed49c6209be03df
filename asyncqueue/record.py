"""What crosses the border between the core and a driver. No policy, no I/O.

Durations cross, instants do not: a driver adds a duration to its own clock, so the clocks of
producers and workers may drift apart. The floats that come back (``created_at`` and the like)
are seconds since the epoch by the driver's clock.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

MIN_PRIORITY: Final = -32768
MAX_PRIORITY: Final = 32767


class State(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    DELAYED = "delayed"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING: Final = (State.PENDING, State.DELAYED)
FINISHED: Final = (State.COMPLETED, State.FAILED, State.CANCELLED)


class Source(msgspec.Struct, frozen=True):
    """A queue, or one lane of it: the priorities from ``low`` to ``high``, both included."""

    queue: str
    low: int = MIN_PRIORITY
    high: int = MAX_PRIORITY


class Record(msgspec.Struct):
    """A job on its way into the store.

    ``max_attempts`` is None where the worker's default decides. ``key`` is a uniqueness key:
    while a live job holds it, a second record with it stores nothing. It is held until the job
    is finished, or until it is first claimed (``key_until_claimed``), and for ``key_ttl``
    seconds at most, if given.
    """

    id: str
    queue: str
    name: str
    payload: bytes
    priority: int = 1
    delay: float = 0.0
    max_attempts: int | None = None
    key: str | None = None
    key_ttl: float | None = None
    key_until_claimed: bool = False


class Claim(msgspec.Struct):
    """A job that belongs to one worker until its lease runs out.

    ``token`` rises with every claim and is never given twice for one id, not even after its job
    was removed and another one was dispatched under that id: it is the fence. ``attempts``
    counts this run too. ``exceptions`` counts the errors raised by earlier runs.
    """

    id: str
    token: int
    queue: str
    name: str
    payload: bytes
    priority: int
    attempts: int
    exceptions: int
    max_attempts: int | None
    created_at: float


class Claimed(msgspec.Struct):
    """The answer to a claim: what was claimed, and when to look again.

    ``due_in`` is the number of seconds until the next delayed job of these sources is due;
    None where there is none, or where fewer jobs than asked for may be waiting elsewhere.
    """

    claims: list[Claim]
    due_in: float | None = None


class Extension(msgspec.Struct):
    """Asks for more time for a claim; may carry the progress (0 to 100) of its job."""

    id: str
    token: int
    progress: float | None = None
    message: str | None = None


class Hold(StrEnum):
    """What became of a claim that asked for more time."""

    HELD = "held"
    LOST = "lost"
    CANCELLED = "cancelled"
    """Held, but somebody asked for its cancellation."""


class Settlement(msgspec.Struct):
    """How a claim ends. Ignored by the store unless ``token`` is the job's newest.

    ``pending``: back to its old place, at the front, at once.
    ``delayed``: due again in ``delay`` seconds (0 or less: at once).
    ``completed`` and ``cancelled``: the record is kept for ``retention`` seconds, 0 removes it.
    ``failed``: the record moves to the failed store.
    ``attempts`` and ``exceptions`` are the counts to keep.
    """

    id: str
    token: int
    state: State
    attempts: int
    exceptions: int = 0
    delay: float = 0.0
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None
    retention: float = 0.0


class StoredJob(msgspec.Struct):
    """Everything a store knows of one job, failed ones included."""

    id: str
    queue: str
    name: str
    payload: bytes
    state: State
    priority: int
    attempts: int
    max_attempts: int | None
    created_at: float
    available_at: float
    started_at: float | None = None
    finished_at: float | None = None
    progress: float | None = None
    message: str | None = None
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None
    worker: str | None = None
    key: str | None = None


class Filter(msgspec.Struct, frozen=True):
    """Which jobs are meant: all conditions that are given must hold; none means every job."""

    ids: tuple[str, ...] | None = None
    source: Source | None = None
    states: tuple[State, ...] | None = None
    name: str | None = None
    finished_before: float | None = None
    """Finished at least this many seconds ago."""


class Found(msgspec.Struct):
    """A page of stored jobs; ``next`` is the cursor of the page after it, if there is one."""

    items: list[StoredJob]
    next: str | None = None


class QueueCounts(msgspec.Struct):
    """How many jobs of one queue are in which state, and the age of the oldest due one."""

    pending: int = 0
    delayed: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    oldest_seconds: float = 0.0


class Presence(msgspec.Struct):
    """A worker as others see it. ``running`` holds the ids of the jobs it has claimed."""

    id: str
    host: str
    pid: int
    queues: list[str]
    concurrency: int
    started_at: float
    last_seen: float = 0.0
    running: list[str] = []
