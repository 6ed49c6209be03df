"""Cancelling, deleting, requeueing and cleaning: find what is meant, then ask for it by id.

The scripts look at the state again, so a job that moved on in between is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.drivers.redis.encoding import PHASES, STATES
from asyncqueue.drivers.redis.looking import rows
from asyncqueue.drivers.redis.moving import CHUNK, chunks
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.record import Filter


def _meant(which: Filter) -> str:
    """The letters of the states that a filter means."""
    return "".join(PHASES[state] for state in (State if which.states is None else which.states))


async def _ids(scripts: Scripts, which: Filter) -> list[str]:
    return [row.job.id async for row in rows(scripts, which)]


async def cancel(scripts: Scripts, which: Filter, retention: float) -> dict[str, State]:
    """Cancel what waits, ask for the cancellation of what runs; answers the state met."""
    met: dict[str, State] = {}
    for chunk in chunks(await _ids(scripts, which)):
        letters = await scripts.run("cancel", repr(retention), _meant(which), *chunk)
        told = zip(chunk, letters, strict=True)
        met |= {id: STATES[letter.decode()] for id, letter in told if letter}
    return met


async def delete(scripts: Scripts, which: Filter) -> int:
    """Remove jobs that are not being processed."""
    gone = 0
    for chunk in chunks(await _ids(scripts, which)):
        gone += await scripts.run("delete", _meant(which), *chunk)
    return gone


async def requeue(scripts: Scripts, which: Filter) -> list[str]:
    """Move failed jobs back, in the order in which they were dispatched."""
    if which.states is not None and State.FAILED not in which.states:
        return []
    failed = type(which)(
        ids=which.ids,
        source=which.source,
        states=(State.FAILED,),
        name=which.name,
        finished_before=which.finished_before,
    )
    ids = await _ids(scripts, failed)
    ids.reverse()
    moved: list[str] = []
    for chunk in chunks(ids):
        moved += [id.decode() for id in await scripts.run("requeue", *chunk)]
    return moved


async def sweep(scripts: Scripts) -> int:
    """Return jobs whose lease ran out; forget those whose retention is over."""
    returned, more = 0, 1
    while more:
        count, more = await scripts.run("sweep", CHUNK)
        returned += count
    return returned


async def prune(scripts: Scripts, failed_retention: float) -> int:
    """Forget ended jobs whose retention is over, and failed ones that are old."""
    gone, more = 0, 1
    while more:
        count, more = await scripts.run("prune", repr(failed_retention), CHUNK)
        gone += count
    return gone


async def pause(scripts: Scripts, queues: list[str], on: bool) -> list[str]:
    """Pause or resume queues; answers those that changed."""
    changed = await scripts.run("pause", int(on), *dict.fromkeys(queues))
    return [queue.decode() for queue in changed]


async def paused(scripts: Scripts) -> list[str]:
    """The names of the paused queues, sorted."""
    told = await scripts.link.call("SMEMBERS", f"{scripts.tag}:paused")
    return sorted(queue.decode() for queue in told)
