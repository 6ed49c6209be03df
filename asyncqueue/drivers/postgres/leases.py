"""Leases: longer ones, and what becomes of those that ran out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.postgres.latches import Part, locked
from asyncqueue.drivers.postgres.store import column
from asyncqueue.drivers.postgres.texts import storable
from asyncqueue.record import Extension, Hold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class Swept(NamedTuple):
    """What became of some of the jobs whose lease ran out."""

    returned: int
    """How many were put back."""
    linked: dict[str, str]
    """Those that were called off and have a latch, by id, are left to :func:`end`."""
    more: bool
    """Whether there may be more jobs."""


async def sweep(store: Store) -> Swept:
    """Return some of the jobs whose lease ran out."""
    rows = await store.rows("leases.sweep", limit=SWEPT_AT_ONCE)
    queues = [queue for _, queue, called_off, _ in rows if not called_off]
    ended = {id: latch for id, _, called_off, latch in rows if called_off}
    linked = {id: latch for id, latch in ended.items() if latch is not None}
    store.ring_put_back(queues)
    store.ring("job", ended.keys() - linked.keys())
    return Swept(len(queues), linked, more=len(rows) == SWEPT_AT_ONCE)


async def end(store: Store, linked: Mapping[str, str]) -> None:
    """End jobs that were called off, given with their latches; needs a transaction."""
    latches = await locked(store, linked.values())
    concerned = {"ids": list(linked), "latches": list(set(linked.values()))}
    rows = await store.rows("leases.end", **concerned)
    await latches.removed(Part(*part) for _, *part in rows)
    await latches.write()
    store.ring("job", [row[0] for row in rows])
