"""Why a job is where it is: one sentence, and what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from asyncqueue.clock import moment
from asyncqueue.lanes import source_of
from asyncqueue.record import FINISHED, On, Permit, Presence, State, StoredJob, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Limited

MOST_NAMED = 5
"""Ids, workers and queues that a sentence names at most; the evidence has them all."""
_UNTIL = {
    On.SUCCESS: "all of its jobs have completed",
    On.FAILURE: "one of its jobs fails",
    On.END: "nothing of it is pending and its other callbacks have ended",
}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is not running, or what becomes of it.

    ``reason`` is one word for programs: finished, running, orphaned, held, cancelled, delayed,
    paused, unserved, unknown, limited, behind or next. ``text`` says it to people, ``evidence``
    holds the facts.
    """

    id: str
    reason: str
    text: str
    evidence: dict[str, Any]


class Facts(msgspec.Struct):
    """What is asked of the store about a job that waits."""

    now: float
    paused: bool
    workers: list[Presence]
    ahead: int | None
    tally: Tally | None
    permits: dict[str, list[Permit]]


async def gather(driver: Driver, job: StoredJob) -> Facts:
    """Ask the store for what an explanation needs."""
    waits = job.state not in FINISHED
    tallies: list[Tally] = []
    if job.latch is not None and waits and driver.has_latches:
        tallies = list(await driver.latches([job.latch]))
    permits: dict[str, list[Permit]] = {}
    if job.state is State.PENDING and driver.has_limits:
        permits = {limit.key: await driver.holders(limit.key) for limit in job.limits}
    return Facts(
        now=driver.clock.time(),
        paused=job.queue in await driver.paused(),
        workers=await driver.workers() if waits else [],
        ahead=await driver.ahead(job.id) if job.state is State.PENDING else None,
        tally=tallies[0] if tallies else None,
        permits=permits,
    )


def explain(job: StoredJob, facts: Facts) -> Explanation:
    """Say why a job is where it is. Pure."""
    if job.state in FINISHED:
        return _finished(job)
    if job.state is State.PROCESSING:
        return _processing(job, facts)
    if job.held is not None:
        return _held(job, job.held, facts)
    if facts.tally is not None and facts.tally.called_off:
        return _say(
            job,
            "cancelled",
            f"its batch {job.latch} was cancelled: it is skipped when its turn comes",
            batch=job.latch,
        )
    if job.state is State.DELAYED:
        return _delayed(job, facts)
    return _pending(job, facts)


def _finished(job: StoredJob) -> Explanation:
    at = "" if job.finished_at is None else f" at {moment(job.finished_at):%Y-%m-%d %H:%M:%S} UTC"
    told = {
        State.COMPLETED: f"it completed{at}",
        State.CANCELLED: f"it was cancelled{at}",
        State.FAILED: f"it failed for good{at} after {job.attempts} attempts: {job.error}",
    }
    return _say(job, "finished", told[job.state], state=job.state.value, error=job.error)


def _processing(job: StoredJob, facts: Facts) -> Explanation:
    worker = next((one for one in facts.workers if one.id == job.worker), None)
    left = job.lease_left
    if worker is None or (left is not None and left < 0):
        ends = "has run out" if left is None or left < 0 else f"runs out in {left:.0f} s"
        return _say(
            job,
            "orphaned",
            f"worker {job.worker} has it and is not alive: its lease {ends}, then another worker "
            "takes it",
            worker=job.worker,
            lease_left=left,
        )
    place = worker.places.get(job.id)
    since = facts.now - (job.started_at or facts.now)
    return _say(
        job,
        "running",
        f"it runs on {worker.host} (pid {worker.pid}, worker {worker.id}) for {since:.0f} s"
        + (f", last seen at {place}" if place else ""),
        worker=worker.id,
        host=worker.host,
        pid=worker.pid,
        place=place,
        lease_left=left,
    )


def _held(job: StoredJob, on: On, facts: Facts) -> Explanation:
    pending = "" if facts.tally is None else f" ({facts.tally.pending} pending)"
    return _say(
        job,
        "held",
        f"it waits for its batch {job.latch}{pending}: it starts once {_UNTIL[on]}",
        batch=job.latch,
        until=on.value,
    )


def _delayed(job: StoredJob, facts: Facts) -> Explanation:
    due = (
        f"{moment(job.available_at):%Y-%m-%d %H:%M:%S} UTC, in {job.available_at - facts.now:.0f} s"
    )
    why = (
        f"attempt {job.attempts} failed ({job.error}), the next is due"
        if job.error
        else "it is due"
    )
    return _say(
        job, "delayed", f"{why} at {due}", available_at=job.available_at, attempts=job.attempts
    )


def _pending(job: StoredJob, facts: Facts) -> Explanation:
    if facts.paused:
        return _say(job, "paused", f'queue "{job.queue}" is paused: resume it', queue=job.queue)
    serving = [one for one in facts.workers if _serves(one, job)]
    if not serving:
        served = sorted({queue for one in facts.workers for queue in one.queues})
        alive = f"they serve {_some(served)}" if served else "none is alive"
        return _say(
            job,
            "unserved",
            f'no live worker serves queue "{job.queue}" at priority {job.priority}: {alive}',
            queue=job.queue,
            served=served,
        )
    if not any(job.name in one.kinds or not one.kinds for one in serving):
        return _say(
            job,
            "unknown",
            f'no worker on queue "{job.queue}" knows the kind {job.name}: import its module there',
            name=job.name,
            workers=[one.id for one in serving],
        )
    for limit in job.limits:
        holders = facts.permits.get(limit.key, [])
        if len(holders) >= limit.most:
            return _limited(job, limit, holders)
    if facts.ahead:
        slots = sum(one.concurrency for one in serving)
        return _say(
            job,
            "behind",
            f"{facts.ahead} jobs come before it, for {len(serving)} workers with {slots} slots",
            ahead=facts.ahead,
            workers=[one.id for one in serving],
        )
    return _say(
        job,
        "next",
        f"it is next: one of {len(serving)} workers takes it as soon as a slot is free",
        workers=[one.id for one in serving],
    )


def _limited(job: StoredJob, limit: Limited, holders: list[Permit]) -> Explanation:
    ids = [permit.holder.partition("/")[0] for permit in holders]
    kind, _, name = limit.key.partition(":")
    frees = min((one.expires_in for one in holders if one.expires_in is not None), default=None)
    if frees is None:
        text = f"limit {name} allows {limit.most} at a time: it is held by {_some(ids)}"
    else:
        text = (
            f"limit {name} allows {limit.most} starts in {limit.per:g} s: the next in {frees:.1f} s"
        )
    return _say(job, "limited", text, limit=name, kind=kind, holders=ids, frees_in=frees)


def _serves(worker: Presence, job: StoredJob) -> bool:
    sources = map(source_of, worker.queues)
    return any(one.queue == job.queue and one.low <= job.priority <= one.high for one in sources)


def _some(words: Iterable[str]) -> str:
    words = list(words)
    more = len(words) - MOST_NAMED
    return ", ".join(words[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _say(job: StoredJob, reason: str, text: str, **evidence: Any) -> Explanation:
    if job.key is not None and job.state not in FINISHED:
        evidence["key"] = job.key
    return Explanation(
        id=job.id,
        reason=reason,
        text=f"{job.name} {job.id}: {text}.",
        evidence={name: value for name, value in evidence.items() if value is not None},
    )
