"""What crosses the border between the core and a driver. No policy, no I/O.

Durations cross, instants do not: a driver adds a duration to its own clock, so the clocks of
producers and workers may drift apart. The floats that come back (``created_at`` and the like)
are seconds since the epoch by the driver's clock.

Where ``gc=False`` is said, nothing within can refer back to it, so the garbage collector need not
look.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

MIN_PRIORITY: Final = -32768
MAX_PRIORITY: Final = 32767


class _Discreet(msgspec.Struct, gc=False):
    """Tells how many bytes it holds, and not which: logs and reports of crashes show it."""

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else repr(value)


class State(StrEnum):
    """Where a job is in its life. Each is a str: ``State.FAILED == "failed"``."""

    PENDING = "pending"
    """Due, and waiting for a worker."""
    DELAYED = "delayed"
    """Waiting until it is due: for the first time, for its next attempt, or for others."""
    PROCESSING = "processing"
    """Claimed by a worker."""
    COMPLETED = "completed"
    """Its handler returned; kept for its retention."""
    FAILED = "failed"
    """It failed for good; kept in the failed store, where it can be retried."""
    CANCELLED = "cancelled"
    """An operator, or its batch, called it off; kept for its retention."""


WAITING: Final = (State.PENDING, State.DELAYED)
FINISHED: Final = (State.COMPLETED, State.FAILED, State.CANCELLED)


class Source(msgspec.Struct, frozen=True):
    """A queue, or one lane of it: the priorities from ``low`` to ``high``, both included."""

    queue: str
    low: int = MIN_PRIORITY
    high: int = MAX_PRIORITY


class On(StrEnum):
    """When a latch lets go of a job that it holds back."""

    SUCCESS = "success"
    """Its last member ended, and all were completed."""
    FAILURE = "failure"
    """Its first member failed."""
    END = "end"
    """Its last member ended, and so did every job that ``guards``."""


class Latch(_Discreet):
    """A count of jobs, its members, that opens when the last of them has ended.

    ``data`` means nothing to the store. With ``breaks`` the first member that fails calls the
    others off: from then on claims of them say so. It is kept for ``retention`` seconds after it
    opened.
    """

    id: str
    data: bytes = b""
    breaks: bool = True
    retention: float = 3600.0


class Limited(msgspec.Struct, frozen=True, array_like=True):
    """A job needs one of ``most`` permits of ``key`` to be claimed.

    Without ``per`` it holds it as long as it is being processed; with it a permit is used up for
    ``per`` seconds from the claim, whatever becomes of the job.
    """

    key: str
    most: int
    per: float | None = None


class Permit(msgspec.Struct):
    """One permit that is taken: by whom, and for how many seconds yet; None has no end."""

    holder: str
    expires_in: float | None = None


class Record(_Discreet, gc=False):
    """A job on its way into the store.

    ``max_attempts`` is None where the worker's default decides. ``key`` is a uniqueness key:
    while a live job holds it, a second record with it stores nothing. It is held until the job
    is finished, or until it is first claimed (``key_until_claimed``), and for ``key_ttl``
    seconds at most, if given.

    With ``latch`` it is a member of that latch, or, with ``held``, a job that the latch holds
    back: it waits for nothing else, is not counted anywhere, and is gone when the latch opens
    without a reason to let go of it. One that ``guards`` has to end before those held until the
    END are let go of.

    ``limits`` are permits that its claim needs, all of them at once. Jobs of one queue and
    priority with a ``fair`` key take turns: after a job of one key comes one of every other key
    that waits, then the next of that key. Those without one are all of one key.

    ``fresh``: its id was made for it, so no other job can have it. Records that have the same word
    in ``together`` are stored in one step, also where the store is in several parts.
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
    latch: str | None = None
    held: On | None = None
    guards: bool = False
    limits: tuple[Limited, ...] = ()
    fair: str | None = None
    fresh: bool = False
    together: str | None = None


class Claim(_Discreet, gc=False):
    """A job that belongs to one worker until its lease runs out.

    ``token`` rises with every claim and is never given twice for one id, not even after its job
    was removed and another one was dispatched under that id: it is the fence. ``attempts``
    counts this run too. ``exceptions`` counts the errors raised by earlier runs. ``latch`` is
    that of a member or of a job that was held back; ``called_off`` is True for a member whose
    latch was called off since it was dispatched or requeued.
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
    latch: str | None = None
    called_off: bool = False


class Claimed(msgspec.Struct):
    """The answer to a claim: what was claimed, and when to look again.

    ``due_in`` is the number of seconds until the next delayed job of these sources is due;
    None where there is none, or where fewer jobs than asked for may be waiting elsewhere. ``now``
    is the time of the store, by which its jobs were created; where it is not told, it is taken for
    that of the worker. ``more`` says that others could be claimed beside them; it is told by
    :meth:`~asyncqueue.drivers.base.Driver.claim_next` only.
    """

    claims: list[Claim]
    due_in: float | None = None
    now: float | None = None
    more: bool = False


class Extension(msgspec.Struct, gc=False):
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


class Tally(_Discreet):
    """What a latch has counted. ``pending`` + completed + failed + skipped = total.

    ``skipped`` are members that ended as cancelled, or were removed before they ended. ``error``
    is that of the first member that failed. It opened at ``opened_at``, when nothing was pending
    for the first time.
    """

    id: str
    data: bytes
    total: int
    completed: int
    failed: int
    skipped: int
    called_off: bool
    created_at: float
    error: str | None = None
    opened_at: float | None = None

    @property
    def pending(self) -> int:
        """Members that have not ended."""
        return self.total - self.completed - self.failed - self.skipped


class Counted(msgspec.Struct):
    """The answer to a settlement of a member: its latch just after it.

    ``broke`` and ``opened`` tell whether it was this very settlement that called the latch off,
    and that opened it.
    """

    tally: Tally
    broke: bool = False
    opened: bool = False


class Settlement(_Discreet, gc=False):
    """How a claim ends. Ignored by the store unless ``token`` is the job's newest.

    ``pending``: back to its old place, at the front, at once.
    ``delayed``: due again in ``delay`` seconds (0 or less: at once).
    ``completed`` and ``cancelled``: the record is kept for ``retention`` seconds, 0 removes it.
    ``failed``: the record moves to the failed store.
    ``attempts`` and ``exceptions`` are the counts to keep. ``attempt`` is appended to the job's
    history. ``latch`` is that of its claim. ``follow_ups`` and their ``latches`` are stored in the
    same step, as if enqueued.
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
    attempt: bytes | None = None
    latch: str | None = None
    follow_ups: Sequence[Record] = ()
    latches: Sequence[Latch] = ()
    counted: Counted | None = None
    """Left here by a transaction that ended with it."""


class StoredJob(_Discreet, gc=False):
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
    latch: str | None = None
    held: On | None = None
    """Held back by its latch; its state is DELAYED."""
    limits: tuple[Limited, ...] = ()
    fair: str | None = None
    history: bytes | None = None
    """What its settlements gave as ``attempt``, one after the other."""
    lease_left: float | None = None
    """Seconds until its lease runs out, if it is being processed; negative if it has."""


class Filter(msgspec.Struct, frozen=True):
    """Which jobs are meant: all conditions that are given must hold; none means every job.

    Jobs that a latch holds back are meant by their ``ids`` only.
    """

    ids: tuple[str, ...] | None = None
    source: Source | None = None
    states: tuple[State, ...] | None = None
    name: str | None = None
    finished_before: float | None = None
    """Finished at least this many seconds ago."""
    latch: str | None = None
    """Members of this latch, not those that it holds or held back."""


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
    """A worker as others see it. ``running`` holds the ids of the jobs it has claimed.

    ``places`` tells of some of them which line of source they have got to.
    """

    id: str
    host: str
    pid: int
    queues: list[str]
    concurrency: int
    started_at: float
    last_seen: float = 0.0
    running: list[str] = []
    places: dict[str, str] = {}
    kinds: list[str] = []
    """Which jobs it knows."""
