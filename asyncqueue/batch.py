"""What is told of a batch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from asyncqueue.record import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from asyncqueue.record import Latch, Record


HOOK = "hook-"
"""Ids begin so of latches for which the catch of a chain waits: they are no batches."""


def batch_id_of(latch: str | None) -> str | None:
    """The batch that a latch counts, if it is one."""
    return None if latch is None or latch.startswith(HOOK) else latch


class BatchData(msgspec.Struct, omit_defaults=True):
    """What the store keeps of a batch beside its counters, and does not look at."""

    name: str = ""
    queue: str = ""
    """The one given to the batch: that of all its jobs."""
    near: str = ""
    """The one of the chain that it is a link of: that of its jobs without one of their own."""
    retention: float | None = None
    """Seconds that it can be found after its end."""


class BatchInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as its store shows it at this moment.

    ``pending + completed + failed + skipped == total``. ``progress`` is the percentage of jobs
    that have ended. ``finished`` is True once nothing was pending, ``cancelled`` once its waiting
    jobs are skipped: it was cancelled, or a job failed and failures are not allowed. ``error``
    is what the first failed job's error said.
    """

    id: str
    name: str
    total: int
    pending: int
    completed: int
    failed: int
    skipped: int
    progress: float
    finished: bool
    cancelled: bool
    has_failures: bool
    error: str | None = None


def batch_info(tally: Tally) -> BatchInfo:
    """What is told of the batch that a latch counts."""
    ended = tally.total - tally.pending
    return BatchInfo(
        id=tally.id,
        name=batch_data(tally).name,
        total=tally.total,
        pending=tally.pending,
        completed=tally.completed,
        failed=tally.failed,
        skipped=tally.skipped,
        progress=round(ended / tally.total * 100, 2) if tally.total else 0.0,
        finished=tally.opened_at is not None,
        cancelled=tally.called_off,
        has_failures=tally.failed > 0,
        error=tally.error,
    )


def new_batches(latches: Iterable[Latch], records: Iterable[Record], now: float) -> list[Tally]:
    """The batches among latches that were just stored with these records."""
    members = Counter(record.latch for record in records if record.held is None)
    return [
        Tally(latch.id, latch.data, members[latch.id], 0, 0, 0, called_off=False, created_at=now)
        for latch in latches
        if batch_id_of(latch.id)
    ]


def batch_facts(tally: Tally, at: datetime) -> dict[str, Any]:
    """The fields that all events of a batch carry."""
    info = batch_info(tally)
    return {
        "at": at,
        "batch_id": info.id,
        "name": info.name,
        "total": info.total,
        "completed": info.completed,
        "failed": info.failed,
        "progress": info.progress,
    }


def batch_data(tally: Tally) -> BatchData:
    """Its own data; empty where the latch was not made by a batch."""
    try:
        return msgspec.msgpack.decode(tally.data, type=BatchData)
    except msgspec.MsgspecError:
        return BatchData()
