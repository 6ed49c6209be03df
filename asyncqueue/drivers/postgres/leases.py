"""Leases: longer ones, and what becomes of those that ran out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.postgres import permits
from asyncqueue.drivers.postgres.latches import locked
from asyncqueue.drivers.postgres.store import column
from asyncqueue.drivers.postgres.texts import storable
from asyncqueue.record import Extension, Hold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.store import Store

SWEPT_AT_ONCE: Final = 1000


async def extend(store: Store, extensions: Sequence[Extension], lease: float) -> list[Hold]:
    """Renew the leases that are still held."""
    merged = _merged(extensions)
    claims = sorted(merged)
    rows = await store.rows(
        "leases.extend",
        ids=[id for id, _ in claims],
        tokens=[token for _, token in claims],
        progress=column([merged[claim].progress for claim in claims]),
        messages=column([storable(merged[claim].message) for claim in claims]),
        lease=lease,
    )
    held: dict[tuple[str, int], Hold] = {
        claims[place - 1]: Hold.CANCELLED if called_off else Hold.HELD for place, called_off in rows
    }
    return [held.get((e.id, e.token), Hold.LOST) for e in extensions]


def _merged(extensions: Sequence[Extension]) -> dict[tuple[str, int], Extension]:
    """One extension for each claim: the last word counts."""
    merged: dict[tuple[str, int], Extension] = {}
    for new in extensions:
        old = merged.get((new.id, new.token), new)
        merged[new.id, new.token] = Extension(
            new.id,
            new.token,
            old.progress if new.progress is None else new.progress,
            old.message if new.message is None else new.message,
        )
    return merged


class Left(NamedTuple):
    """One whose lease ran out, and that is linked to others."""

    id: str
    latch: str | None
    """If it was called off."""
    limits: str | None


class Swept(NamedTuple):
    """What became of some of the jobs whose lease ran out."""

    returned: int
    """How many were put back."""
    left: list[Left]
    """Those that have limits, or were called off and have a latch, are left to :func:`end`."""
    more: bool
    """Whether there may be more jobs."""


async def sweep(store: Store) -> Swept:
    """Return some of the jobs whose lease ran out."""
    rows = await store.rows("leases.sweep", limit=SWEPT_AT_ONCE)
    left = [Left(id, latch, limits) for id, _, _, latch, limits in rows if latch or limits]
    done = [row for row in rows if row[3] is None and row[4] is None]
    queues = [queue for _, queue, called_off, *_ in done if not called_off]
    store.ring_put_back(queues)
    store.ring("job", [id for id, _, called_off, *_ in done if called_off])
    return Swept(len(queues), left, more=len(rows) == SWEPT_AT_ONCE)


async def end(store: Store, left: Sequence[Left]) -> int:
    """The same of those that are linked; answers how many were put back. Needs a transaction."""
    latches = await locked(store, [one.latch for one in left])
    keys = await permits.locked(store, [one.limits for one in left])
    rows = await store.rows(
        "leases.end",
        ids=[one.id for one in left],
        latches=sorted({one.latch for one in left if one.latch is not None}),
        limits=sorted({one.limits for one in left if one.limits is not None}),
    )
    ended = [row for row in rows if row[2]]
    for id, _, _, limits, *_ in rows:
        keys.ended(id, permits.decoded(limits))
    await latches.removed(row[4:] for row in ended)
    await latches.write()
    await keys.write()
    returned = [row[1] for row in rows if not row[2]]
    store.ring_put_back(returned)
    store.ring("job", [row[0] for row in ended])
    return len(returned)
