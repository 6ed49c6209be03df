"""A job as the memory store holds it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from asyncqueue.drivers.storable import out_of_range, payload_of
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Limited, On, State, StoredJob

if TYPE_CHECKING:
    from asyncqueue.record import Record

PENDING = State.PENDING
"""Read as a global in hot loops: looking a member up in its enum class takes longer."""
HELD = State.DELAYED
"""The state of an entry that its latch holds back."""


class Entry(msgspec.Struct, gc=False):
    """What a record became. Nobody outside the store ever holds one.

    ``state`` is DELAYED only while its latch holds the entry back: one that waits is delayed as
    long as it is not due. ``seq`` is the place in the order of dispatch. ``cancel_retention`` is
    set once the cancellation of a running job was asked for. ``member`` is False for those that
    were held back, ``exempt`` True for members that were requeued: nobody calls them off.
    ``aside`` is the key of the permit that it waits for instead of standing in its line.
    """

    id: str
    queue: str
    name: str
    payload: bytes
    priority: int
    max_attempts: int | None
    key: str | None
    key_until: float
    key_until_claimed: bool
    created_at: float
    available_at: float
    seq: int = 0
    state: State = PENDING
    attempts: int = 0
    exceptions: int = 0
    token: int = 0
    lease_until: float = 0.0
    cancel_retention: float | None = None
    worker: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    progress: float | None = None
    message: str | None = None
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None
    latch: str | None = None
    member: bool = False
    exempt: bool = False
    held: On | None = None
    guards: bool = False
    delay: float = 0.0
    history: bytes | None = None
    limits: tuple[Limited, ...] = ()
    fair: str | None = None
    aside: str | None = None

    def state_at(self, now: float) -> State:
        """The state as it is told outside."""
        return State.DELAYED if self.state is PENDING and self.available_at > now else self.state

    def start_afresh(self, seq: int, now: float) -> None:
        """Become a job that was dispatched just now. The token goes on: it is the fence."""
        self.seq = seq
        self.state = PENDING
        self.created_at = self.available_at = now
        self.attempts = self.exceptions = 0
        self.key = self.worker = self.started_at = self.finished_at = None
        self.progress = self.message = self.result = self.error = self.traceback = None
        self.history = None
        self.exempt = True

    def stored_job(self, now: float) -> StoredJob:
        """A picture of this entry for those who look."""
        return StoredJob(
            id=self.id,
            queue=self.queue,
            name=self.name,
            payload=self.payload,
            state=self.state_at(now),
            priority=self.priority,
            attempts=self.attempts,
            max_attempts=self.max_attempts,
            created_at=self.created_at,
            available_at=self.available_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            progress=self.progress,
            message=self.message,
            result=self.result,
            error=self.error,
            traceback=self.traceback,
            worker=self.worker,
            key=self.key,
            latch=self.latch,
            held=self.held,
            limits=self.limits,
            fair=self.fair,
            history=self.history,
            lease_left=self.lease_until - now if self.state is State.PROCESSING else None,
        )


def new_entry(record: Record, now: float) -> Entry:
    """A copy of a record; shares nothing with it that could change."""
    payload = record.payload
    if not MIN_PRIORITY <= record.priority <= MAX_PRIORITY:
        raise out_of_range(record)
    entry = Entry(
        record.id,
        record.queue,
        record.name,
        payload if type(payload) is bytes else payload_of(record),
        record.priority,
        record.max_attempts,
        record.key,
        math.inf if record.key_ttl is None else now + record.key_ttl,
        record.key_until_claimed,
        now,
        now + record.delay if record.delay > 0 else now,
    )
    if record.latch is not None:
        entry.latch, entry.held, entry.guards = record.latch, record.held, record.guards
        entry.member = record.held is None
        if record.held is not None:
            entry.state, entry.delay = HELD, max(record.delay, 0.0)
    if record.limits or record.fair is not None:
        entry.limits, entry.fair = tuple(record.limits), record.fair
    return entry
