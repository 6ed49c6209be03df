"""Cancelling, deleting, requeueing and cleaning: find what is meant, then ask for it by id.

The scripts look at the state again, so a job that moved on in between is left alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from asyncqueue.drivers.redis.encoding import PHASES, STATES
from asyncqueue.drivers.redis.merging import rows
from asyncqueue.drivers.redis.moving import CHUNK, chunks, places_of
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.drivers.redis.wire import Word
    from asyncqueue.record import Filter

log = logging.getLogger("asyncqueue.redis")


def _meant(which: Filter) -> str:
    """The letters of the states that a filter means."""
    return "".join(PHASES[state] for state in (State if which.states is None else which.states))


async def _found(shards: Shards, which: Filter) -> list[tuple[int, str]]:
    """The shard and id of each, the newest first."""
    return [(row.shard, row.job.id) async for row in rows(shards, which)]


async def cancel(shards: Shards, which: Filter, retention: float) -> dict[str, State]:
    """Cancel what waits, ask for the cancellation of what runs; answers the state met."""
    parts = shards.split(await _found(shards, which))

    async def act(shard: Scripts) -> dict[str, State]:
        met: dict[str, State] = {}
        for chunk in chunks(parts[shard.shard]):
            letters = await shard.run("cancel", repr(retention), _meant(which), *chunk)
            told = zip(chunk, letters, strict=True)
            met |= {id: STATES[letter.decode()] for id, letter in told if letter}
        return met

    met: dict[str, State] = {}
    for part in await shards.every(act, parts):
        met |= part
    return met


async def delete(shards: Shards, which: Filter) -> int:
    """Remove jobs that are not being processed."""
    parts = shards.split(await _found(shards, which))

    async def act(shard: Scripts) -> int:
        gone = 0
        for chunk in chunks(parts[shard.shard]):
            gone += await shard.run("delete", _meant(which), *chunk)
        return gone

    return sum(await shards.every(act, parts))


async def requeue(shards: Shards, which: Filter) -> list[str]:
    """Move failed jobs back, in the order in which they were dispatched."""
    if which.states is not None and State.FAILED not in which.states:
        return []
    failed = msgspec.structs.replace(which, states=(State.FAILED,))
    found = await _found(shards, failed)
    found.reverse()
    parts = shards.split((shard, (place, id)) for place, (shard, id) in enumerate(found))
    highest = shards.highest

    async def act(shard: Scripts) -> list[str]:
        moved: list[str] = []
        for chunk in chunks(parts[shard.shard]):
            places = "" if shards.only else places_of(highest, (place for place, _ in chunk))
            ids, last = await shard.run("requeue", places, *(id for _, id in chunk))
            shards.highest = max(shards.highest, int(last))
            moved += [id.decode() for id in ids]
        return moved

    return [id for part in await shards.every(act, parts) for id in part]


async def sweep(shards: Shards) -> int:
    """Return jobs whose lease ran out; forget those whose retention is over."""
    return sum(await shards.some(lambda shard: _repeated(shard, "sweep", CHUNK)))


async def prune(shards: Shards, failed_retention: float) -> int:
    """Forget ended jobs whose retention is over, and failed ones that are old."""
    age = repr(failed_retention)
    return sum(await shards.some(lambda shard: _repeated(shard, "prune", age, CHUNK)))


async def _repeated(shard: Scripts, verb: str, *words: Word) -> int:
    """Do as much as there is, in steps; answers how much that was."""
    done, more = 0, 1
    while more:
        count, more, *damaged = await shard.run(verb, *words)
        done += count
        for number in damaged:
            told = number.decode(errors="replace")
            log.warning("Job number %s is put aside: its body or state cannot be read", told)
    return done


async def pause(shards: Shards, queues: list[str], on: bool) -> list[str]:
    """Pause or resume queues; answers those that changed."""
    told = await shards.every(lambda shard: shard.run("pause", int(on), *dict.fromkeys(queues)))
    changed = {queue.decode("utf-8", "replace") for part in told for queue in part}
    return [queue for queue in dict.fromkeys(queues) if queue in changed]


async def paused(shards: Shards) -> list[str]:
    """The names of the paused queues, sorted."""
    told = await shards.some(lambda shard: shard.call("SMEMBERS", f"{shard.tag}:paused"))
    return sorted({queue.decode("utf-8", "replace") for part in told for queue in part})
