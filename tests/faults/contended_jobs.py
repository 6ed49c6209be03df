"""Jobs whose keys and permits many want at once; and whether two had a key at once."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from asyncqueue import Context, Job, Limit, WithoutOverlapping

from .jobs import noted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .journal import Entry

AT_A_TIME = 3
HELD = 1.5
"""Seconds for which a key is held at most, where that is not until its job has ended."""


class Lasting(Job, name="FaultLasting", max_attempts=20, timeout=120, unique=lambda job: job.key):
    """One of its key lives at a time."""

    key: str
    seconds: float

    async def handle(self, ctx: Context) -> None:
        with noted(ctx, self.key):
            await asyncio.sleep(self.seconds)


class Expiring(Lasting, name="FaultExpiring", unique=lambda job: job.key, unique_for=HELD):
    """One of its key lives at a time, and a key is free after a while, whatever becomes of it."""


class Few(
    Lasting,
    name="FaultFew",
    unique=False,
    limit=Limit("fault_few", concurrency=AT_A_TIME, by=lambda job: job.key),
):
    """A few of its key run at a time."""


class Alone(
    Lasting,
    name="FaultAlone",
    unique=False,
    middleware=[WithoutOverlapping(lambda ctx: "alone")],
):
    """One runs at a time: who comes meanwhile waits for a moment outside."""


class Holding(NamedTuple):
    """A job that was stored under a key: when that was, and until when it had the key at least."""

    id: str
    asked: float
    told: float
    until: float


def holdings(
    entries: Iterable[Entry], keys: Mapping[str, str], most: float = math.inf
) -> dict[str, list[Holding]]:
    """Of each key, the jobs that had it, of those whose key is in ``keys``.

    A key is held from some moment between the question and the answer of a dispatch, until its
    last body has ended or ``most`` seconds are over, and for a little while after that.
    """
    asked: dict[str, float] = {}
    told: dict[str, float] = {}
    ended: dict[str, float] = {}
    moments = {"attempted": asked, "acknowledged": told, "finished": ended}
    for entry in entries:
        if entry.event in moments:
            moments[entry.event][entry.id] = entry.at
    found: dict[str, list[Holding]] = defaultdict(list)
    for id, at in told.items():
        if id in keys:
            until = min(ended.get(id, math.inf), asked[id] + most)
            found[keys[id]].append(Holding(id, asked[id], at, until))
    return found


def shared(holdings: Iterable[Holding]) -> list[tuple[str, str]]:
    """Who was given a key that, beyond doubt, another one had."""
    those = sorted(holdings, key=lambda one: one.asked)
    return [
        (one.id, other.id)
        for n, one in enumerate(those)
        for other in those[n + 1 :]
        if other.asked > one.told and other.told < one.until
    ]
