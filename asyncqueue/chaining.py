"""What is stored when a chain begins, goes on or fails. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from asyncqueue import codec
from asyncqueue.batch import HOOK
from asyncqueue.callbacks import ContinueJob, HookJob
from asyncqueue.ids import new_id
from asyncqueue.record import Latch, On, Record

if TYPE_CHECKING:
    from asyncqueue.job import Job
    from asyncqueue.links import BatchLink, Cause, Link, Rest

    Stored = tuple[list[Record], list[Latch]]

OWN_PAYLOAD: Final = 1_000
"""Bytes that the jobs of ours, which have no fields, need at most."""


def begin(whole: Rest) -> Stored:
    """What is stored so that the first of these links runs now and the others after it."""
    first, rest = whole.links[0], replace(whole, links=whole.links[1:])
    if first.batch is not None:
        return _begin_batch(first.batch, rest)
    return [_with_rest(_job(first), rest)], []


def later(whole: Rest) -> list[Record]:
    """What may be stored later on, when one of these links after the first begins, or fails."""
    links = whole.links[1:]
    jobs = [link.job for link in links if link.job is not None]
    jobs += [record for link in links if link.batch is not None for record in link.batch.records]
    return jobs if whole.catch is None else [*jobs, whole.catch]


def catch(record: Record, cause: Cause) -> Record:
    """What is stored, of the catch of a chain, when a job of it failed for good."""
    payload = codec.extended(record.payload, cause=cause)
    # An id of its own: a job that was retried from the failed store may fail once more.
    return replace(record, id=new_id(), payload=payload)


def after_hook(record: Record, seconds: float) -> tuple[str, Stored]:
    """What is stored so that this runs once the ``failed`` hook of a job has ended.

    Answers the id of the job that is to be cancelled then. It ends by itself after ``seconds``.
    """
    latch = Latch(HOOK + new_id(), breaks=False, retention=0.0)
    gate = _own(HookJob(), record)
    gate.latch, gate.delay = latch.id, seconds
    return gate.id, ([gate, replace(record, latch=latch.id, held=On.END)], [latch])


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
        return _job(link), replace(rest, links=rest.links[1:])
    return _own(ContinueJob(), link.batch.records[0]), rest


def _own(job: Job, near: Record) -> Record:
    """A job of ours, for whoever serves this record: lanes are priorities."""
    payload = codec.encode(job, OWN_PAYLOAD)
    return Record(new_id(), near.queue, type(job).__job_name__, payload, near.priority)


def _with_rest(record: Record, rest: Rest) -> Record:
    if not rest:
        return record
    return replace(record, payload=codec.extended(record.payload, rest=rest))


def _job(link: Link) -> Record:
    assert link.job is not None  # noqa: S101 - a link has one or the other
    return link.job
