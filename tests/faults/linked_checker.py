"""What was promised of batches and chains, held against the store and the journal."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from .checker import Body, bodies_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue import BatchInfo, Queue

    from .journal import Entry

ROLES = ("then", "catch", "finally")


class Played(NamedTuple):
    """A batch that was dispatched; its callbacks are called ``name/then`` and so on."""

    name: str
    id: str


class Bodies:
    """The bodies of each key, in the order in which they began."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.by_key: dict[str, list[Body]] = defaultdict(list)
        for body in bodies_of(entries):
            self.by_key[body.key].append(body)
        self._deaths = {entry.pid for entry in entries if entry.event == "died"}
        self._stale = {entry.id for entry in entries if entry.event == "stale"}

    def ids(self, key: str) -> set[str]:
        """The jobs that ran as this."""
        return {body.id for body in self.by_key[key]}

    def began(self, key: str) -> float:
        return min((body.began for body in self.by_key[key]), default=math.inf)

    def first_end(self, key: str) -> float:
        """When one of them first ran to an end that could be stored."""
        ends = [b.ended for b in self.by_key[key] if b.how in ("finished", "raised")]
        return min(ends, default=-math.inf)

    def repeated(self, key: str) -> int:
        """How often it ran without a reason: neither a death nor a lost lease."""
        bodies = self.by_key[key]
        excused = sum(
            body.pid in self._deaths or body.id in self._stale or body.how == "cancelled"
            for body in bodies
        )
        return len(bodies) - 1 - excused


async def batch_problems(queue: Queue, entries: Sequence[Entry], batch: Played) -> list[str]:
    """What is wrong with a batch that should have ended."""
    info = await queue.find_batch(batch.id)
    if info is None:
        return [f"{batch.name} is unknown"]
    bodies, states = Bodies(entries), await _states(queue, batch.id)
    told = _miscounted(info, states)
    roles = {role: f"{batch.name}/{role}" for role in ROLES}
    dispatched = {role: len(bodies.ids(key)) for role, key in roles.items()}
    expected = {
        "then": int(info.completed == info.total),
        "catch": int(info.failed > 0),
        "finally": 1,
    }
    if dispatched != expected:
        told.append(f"callbacks {dispatched} instead of {expected} of {info}")
    members = [
        key
        for key in bodies.by_key
        if key.startswith(f"{batch.name}/") and key not in roles.values()
    ]
    last = max((bodies.first_end(key) for key in members), default=-math.inf)
    told += [
        f"{role} began before the last job ended"
        for role in ("then", "finally")
        if bodies.began(roles[role]) < last
    ]
    first_failure = min(
        (b.ended for key in members for b in bodies.by_key[key] if b.how == "raised"),
        default=math.inf,
    )
    if bodies.by_key[roles["catch"]] and bodies.began(roles["catch"]) < first_failure:
        told.append("catch began before a job failed")
    told += [
        f"finally began before {role} ended"
        for role in ("then", "catch")
        if bodies.began(roles["finally"]) < bodies.first_end(roles[role])
    ]
    told += [
        f"{key} ran {len(bodies.by_key[key])} times"
        for key in (*members, *roles.values())
        if bodies.repeated(key) > 0
    ]
    return [f"{batch.name}: {one}" for one in told]


def _miscounted(info: BatchInfo, states: Counter[str]) -> list[str]:
    told = []
    if not info.finished or info.pending:
        told.append(f"it has not ended: {info}")
    counted = (info.completed, info.failed, info.skipped)
    stored = (states["completed"], states["failed"], states["cancelled"])
    if counted != stored or sum(counted) != info.total:
        told.append(f"the counters {counted} of {info.total} are not what is stored, {stored}")
    return told


async def _states(queue: Queue, batch_id: str) -> Counter[str]:
    states: Counter[str] = Counter()
    cursor = None
    while True:
        page = await queue.jobs(batch=batch_id, limit=500, cursor=cursor)
        states.update(job.state.value for job in page.items)
        cursor = page.next
        if cursor is None:
            return states


def chain_problems(entries: Sequence[Entry], name: str, links: int, bad: int | None) -> list[str]:
    """What is wrong with a chain of ``name/0`` and so on, of which that one fails."""
    bodies = Bodies(entries)
    keys = [f"{name}/{number}" for number in range(links)]
    reached = keys if bad is None else keys[: bad + 1]
    told = []
    for before, key in zip([None, *keys], keys, strict=False):
        if len(bodies.ids(key)) != (key in reached):
            told.append(f"{key} is {len(bodies.ids(key))} jobs")
        if bodies.repeated(key) > 0:
            told.append(f"{key} ran {len(bodies.by_key[key])} times")
        if before is not None and bodies.began(key) < bodies.first_end(before):
            told.append(f"{key} began before {before} ended")
    caught = bodies.ids(f"{name}/catch")
    if len(caught) != (bad is not None) or bodies.repeated(f"{name}/catch") > 0:
        told.append(f"caught {len(caught)} times")
    if bad is not None and bodies.began(f"{name}/catch") < bodies.first_end(keys[bad]):
        told.append("caught before it failed")
    return told
