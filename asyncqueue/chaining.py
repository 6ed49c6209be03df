"""What is stored when a chain begins, goes on or fails. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from asyncqueue import codec
from asyncqueue.callbacks import ContinueJob
from asyncqueue.ids import new_id
from asyncqueue.links import BatchLink, Cause, Link, Rest
from asyncqueue.record import On, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.record import Latch

    Stored = tuple[list[Record], list[Latch]]


def begin(links: Sequence[Link], catch: Record | None) -> Stored:
    """What is stored so that the first of these runs now and the others after it."""
    first, rest = links[0], Rest(list(links[1:]), catch)
    if first.batch is not None:
        return _begin_batch(first.batch, rest)
    return [_with_rest(_job(first), rest)], []


def catch(rest: Rest, cause: Cause) -> Stored:
    """What is stored when a job with this rest failed for good."""
    if rest.catch is None:
        return [], []
    return [replace(rest.catch, payload=codec.extended(rest.catch.payload, cause=cause))], []


def _begin_batch(batch: BatchLink, rest: Rest) -> Stored:
    latch = batch.latch
    records = list(batch.records)
    if rest.links:
        following = _with_rest(*_next(rest))
        on = On.SUCCESS if latch.breaks else On.END
        records.append(replace(following, latch=latch.id, held=on))
    if rest.catch is not None and latch.breaks:
        records.append(replace(rest.catch, latch=latch.id, held=On.FAILURE))
    return records, [latch]


def _next(rest: Rest) -> tuple[Record, Rest]:
    """The next record and what comes after it; a batch is begun by a job that does nothing."""
    link = rest.links[0]
    if link.batch is None:
        return _job(link), Rest(rest.links[1:], rest.catch)
    first = link.batch.records[0]
    nothing = ContinueJob()
    record = Record(new_id(), first.queue, type(nothing).__job_name__, codec.encode(nothing, 2**31))
    return record, rest


def _with_rest(record: Record, rest: Rest) -> Record:
    if not rest:
        return record
    return replace(record, payload=codec.extended(record.payload, rest=rest))


def _job(link: Link) -> Record:
    assert link.job is not None  # noqa: S101 - a link has one or the other
    return link.job
