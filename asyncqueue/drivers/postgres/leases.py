"""Leases: longer ones, and what becomes of those that ran out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

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


class Swept(NamedTuple):
    """How many jobs were put back, and whether more may be waiting for it."""

    returned: int
    more: bool


async def sweep(store: Store) -> Swept:
    """Return some of the jobs whose lease ran out."""
    rows = await store.rows("leases.sweep", limit=SWEPT_AT_ONCE)
    queues = [queue for _, queue, called_off in rows if not called_off]
    store.ring("queue", queues)
    store.ring("job", [id for id, _, called_off in rows if called_off])
    return Swept(len(queues), more=len(rows) == SWEPT_AT_ONCE)
