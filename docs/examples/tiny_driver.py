"""A driver in one file of Python that keeps all jobs in one file on disk.

Every call reads the whole file and every change replaces it, under a lock that other processes
respect. So each call is atomic and durable, and slow: it is here to be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from asyncqueue import Driver, DriverUnavailable, State
from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.record import (
    FINISHED,
    MAX_PRIORITY,
    MIN_PRIORITY,
    WAITING,
    Claim,
    Claimed,
    Extension,
    Filter,
    Found,
    Hold,
    QueueCounts,
    Record,
    Settlement,
    Source,
    StoredJob,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


class Row(msgspec.Struct):
    """A stored job, and what only the store needs to know of it."""

    job: StoredJob
    seq: int
    key_until: float | None
    key_until_claimed: bool
    token: int = 0
    exceptions: int = 0
    lease_until: float = 0.0
    keep_until: float | None = None


class Store(msgspec.Struct):
    """What the file holds."""

    rows: dict[str, Row] = {}
    seq: int = 0

    def look(self, now: float) -> None:
        """Forget what expired, and let jobs become due."""
        for row in tuple(self.rows.values()):
            if row.keep_until is not None and row.keep_until <= now:
                del self.rows[row.job.id]
            elif row.job.state in WAITING:
                later = row.job.available_at > now
                row.job.state = State.DELAYED if later else State.PENDING

    def holder(self, key: str | None, now: float) -> str | None:
        """The live job that holds a key."""
        for row in self.rows.values() if key is not None else ():
            if row.job.key == key and (row.key_until is None or row.key_until > now):
                return row.job.id
        return None

    def admit(self, record: Record, now: float) -> str | None:
        """Store a record, unless its id is known or its key is held."""
        if not MIN_PRIORITY <= record.priority <= MAX_PRIORITY:
            raise ValueError(f"The priority of job {record.id!r} is {record.priority}.")
        other = record.id if record.id in self.rows else self.holder(record.key, now)
        if other is not None:
            return other
        delay = max(record.delay, 0.0)
        self.seq += 1
        self.rows[record.id] = Row(
            StoredJob(
                id=record.id,
                queue=record.queue,
                name=record.name,
                payload=record.payload,
                state=State.DELAYED if delay else State.PENDING,
                priority=record.priority,
                attempts=0,
                max_attempts=record.max_attempts,
                created_at=now,
                available_at=now + delay,
                key=record.key,
            ),
            self.seq,
            None if record.key_ttl is None else now + record.key_ttl,
            record.key_until_claimed,
            token=self.seq << 20,  # above those of an earlier job of this id
        )
        return None

    def due(self, source: Source) -> list[Row]:
        """What can be claimed from a source, in the order in which it is to run."""
        found = [
            row
            for row in self.rows.values()
            if row.job.state is State.PENDING and _in_source(row.job, source)
        ]
        return sorted(found, key=lambda row: (-row.job.priority, row.job.available_at, row.seq))

    def due_in(self, sources: Sequence[Source], now: float) -> float | None:
        """Seconds until the next delayed job of these sources is due."""
        delayed = (row.job for row in self.rows.values() if row.job.state is State.DELAYED)
        times = [j.available_at for j in delayed if any(_in_source(j, s) for s in sources)]
        return min(times) - now if times else None

    def hand_out(self, row: Row, now: float, lease: float, worker: str) -> Claim:
        """Give a job to a worker: a new token, one more attempt."""
        job = row.job
        row.token += 1
        row.lease_until = now + lease
        job.state, job.worker, job.started_at = State.PROCESSING, worker, now
        job.attempts += 1
        if row.key_until_claimed:
            job.key = None
        return Claim(
            job.id,
            row.token,
            job.queue,
            job.name,
            job.payload,
            job.priority,
            job.attempts,
            row.exceptions,
            job.max_attempts,
            job.created_at,
        )

    def held(self, id: str, token: int) -> Row | None:
        """The row of a claim, unless somebody else has the job by now."""
        row = self.rows.get(id)
        current = row is not None and row.token == token and row.job.state is State.PROCESSING
        return row if current else None

    def settle(self, settlement: Settlement, now: float) -> bool:
        """End a claim, if it is still held: this is the fence."""
        row = self.held(settlement.id, settlement.token)
        if row is None:
            return False
        job, row.exceptions = row.job, settlement.exceptions
        job.state, job.attempts, job.worker = settlement.state, settlement.attempts, None
        job.result, job.error = settlement.result, settlement.error
        job.traceback = settlement.traceback
        if settlement.state is State.DELAYED:
            job.available_at = now + max(settlement.delay, 0.0)
        if settlement.state in FINISHED:
            job.key, job.finished_at = None, now
            if settlement.state is State.COMPLETED:
                job.progress = 100.0
            if settlement.state is not State.FAILED:
                row.keep_until = now + settlement.retention
        return True


class TinyDriver(Driver):
    """Jobs in one file, for any number of processes on one host."""

    name: ClassVar[str] = "tiny"

    def __init__(self, path: str | Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = Path(path)
        self.clock = clock

    def clone(self) -> TinyDriver:
        return TinyDriver(self.path, clock=self.clock)

    # Move

    async def enqueue(
        self, records: Sequence[Record], *, within: object | None = None
    ) -> list[str | None]:
        self.refuse_within(within)
        return await self._change(lambda store, now: [store.admit(r, now) for r in records])

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        def claim(store: Store, now: float) -> Claimed:
            claims: list[Claim] = []
            for source in sources:
                due = store.due(source)[: max(limit - len(claims), 0)]
                claims += [store.hand_out(row, now, lease, worker) for row in due]
            return Claimed(claims, store.due_in(sources, now) if len(claims) < limit else None)

        claiming = asyncio.ensure_future(self._change(claim))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # Nobody will hear of these claims: without this they would wait for their leases.
            claimed: Claimed = await claiming
            await self.settle([_unrun(claim) for claim in claimed.claims])
            raise

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        def extend(store: Store, now: float) -> list[Hold]:
            answers: list[Hold] = []
            for extension in extensions:
                row = store.held(extension.id, extension.token)
                answers.append(Hold.LOST if row is None else Hold.HELD)
                if row is not None:
                    row.lease_until = now + lease
                    if extension.progress is not None:
                        row.job.progress, row.job.message = extension.progress, extension.message
            return answers

        return await self._change(extend)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        ends = {*FINISHED, *WAITING}
        for settlement in settlements:
            if settlement.state not in ends:
                raise ValueError(f"A claim cannot end as {settlement.state}.")
        return await self._change(lambda store, now: [store.settle(s, now) for s in settlements])

    async def sweep(self) -> int:
        def sweep(store: Store, now: float) -> int:
            expired = [
                row.job
                for row in store.rows.values()
                if row.job.state is State.PROCESSING and row.lease_until <= now
            ]
            for job in expired:
                job.state, job.worker = State.PENDING, None
            return len(expired)

        return await self._change(sweep)

    # Look

    async def find(
        self,
        which: Filter,
        *,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        order: str = "created",
    ) -> Found:
        def place(row: Row) -> tuple[float, int]:
            return (row.job.finished_at or 0.0) if order == "finished" else 0.0, row.seq

        before = None if cursor is None else _read_cursor(cursor)

        def find(store: Store, now: float) -> Found:
            meant = [
                row
                for row in sorted(store.rows.values(), key=place, reverse=True)
                if _meant(row.job, which, now) and (before is None or place(row) < before)
                if order == "created" or row.job.finished_at is not None
            ]
            page = meant[offset : offset + limit]
            more = bool(page) and len(meant) > offset + limit
            end = "{!r}/{}".format(*place(page[-1])) if more else None
            return Found([row.job for row in page], end)

        return await self._change(find)

    async def counts(self) -> dict[str, QueueCounts]:
        def counts(store: Store, now: float) -> dict[str, QueueCounts]:
            by_queue: dict[str, QueueCounts] = {}
            for row in store.rows.values():
                job = row.job
                count = by_queue.setdefault(job.queue, QueueCounts())
                setattr(count, job.state, getattr(count, job.state) + 1)
                if job.state is State.PENDING:
                    count.oldest_seconds = max(count.oldest_seconds, now - job.available_at)
            return by_queue

        return await self._change(counts)

    # Inside

    async def _change(self, work: Callable[[Store, float], Any]) -> Any:
        """Do something to the store, in a thread, with everybody else shut out."""
        return await asyncio.to_thread(self._change_now, work)

    def _change_now(self, work: Callable[[Store, float], Any]) -> Any:
        try:
            with self._locked():
                before = self.path.read_bytes() if self.path.exists() else b""
                store = msgspec.msgpack.decode(before, type=Store) if before else Store()
                now = self.clock.time()
                store.look(now)
                answer = work(store, now)
                after = msgspec.msgpack.encode(store)
                if after != before:
                    self._replace(after)
                return answer
        except OSError as error:
            raise DriverUnavailable(f"Cannot use {self.path}: {error}") from error

    def _replace(self, content: bytes) -> None:
        new = self.path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        with self.path.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _unrun(claim: Claim) -> Settlement:
    return Settlement(
        claim.id, claim.token, State.PENDING, claim.attempts - 1, exceptions=claim.exceptions
    )


def _in_source(job: StoredJob, source: Source) -> bool:
    return job.queue == source.queue and source.low <= job.priority <= source.high


def _meant(job: StoredJob, which: Filter, now: float) -> bool:
    return (
        (which.ids is None or job.id in which.ids)
        and (which.source is None or _in_source(job, which.source))
        and (which.states is None or job.state in which.states)
        and (which.name is None or job.name == which.name)
        and (
            which.finished_before is None
            or (job.finished_at is not None and job.finished_at <= now - which.finished_before)
        )
    )


def _read_cursor(cursor: str) -> tuple[float, int]:
    try:
        moment, _, seq = cursor.partition("/")
        return float(moment), int(seq)
    except ValueError:
        raise ValueError(f"{cursor!r} is no cursor; pass the .next of a page.") from None
