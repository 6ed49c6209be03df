"""Handing out jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.drivers.sqlite.states import HELD_UNTIL_CLAIMED
from asyncqueue.drivers.sqlite.store import listed
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Claim, Claimed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.sqlite.store import Store
    from asyncqueue.record import Source


def probe(store: Store, sources: Sequence[Source]) -> Claimed | None:
    """Look, without any lock, whether there is anything to claim; answers if there is not.

    Idle workers ask often, and must not stand in the way of those who write.
    """
    open_sources = _look(store, sources)
    if any(ready or due for _, ready, due in open_sources):
        return None
    return Claimed([], _due_in(store, [source for source, _, _ in open_sources]))


def claim(
    store: Store, sources: Sequence[Source], limit: int, lease: float, worker: str
) -> Claimed:
    """Claim up to ``limit`` due jobs."""
    claims: list[Claim] = []
    open_sources = _look(store, sources)
    for source, ready, due in open_sources:
        if due:
            store.change("claim.promote", {"queue": source.queue, "now": store.now})
        if (ready or due) and len(claims) < limit:
            claims += _take(store, source, limit - len(claims), lease, worker)
    if len(claims) >= limit:
        return Claimed(claims)
    return Claimed(claims, _due_in(store, [source for source, _, _ in open_sources]))


def _look(store: Store, sources: Sequence[Source]) -> list[tuple[Source, bool, bool]]:
    lanes = listed((source.queue, source.low, source.high) for source in sources)
    rows = store.rows("claim.probe", {"sources": lanes, "now": store.now})
    return [(sources[number], bool(ready), bool(due)) for number, ready, due in sorted(rows)]


def _take(store: Store, source: Source, limit: int, lease: float, worker: str) -> list[Claim]:
    # Read, then write: an UPDATE that returns its rows took longer, and gives them in no order.
    lane = {"queue": source.queue, "low": source.low, "high": source.high, "limit": limit}
    rows = store.rows("claim.first", lane)
    taken = {
        "seqs": listed(row[0] for row in rows),
        "now": store.now,
        "until": store.now + lease,
        "worker": worker,
    }
    store.change("claim.take", taken)
    until_claimed = [row[0] for row in rows if row[1] == HELD_UNTIL_CLAIMED]
    if until_claimed:
        store.change("claim.free_keys", {"seqs": listed(until_claimed)})
    return [Claim(*row[2:]) for row in rows]


def _due_in(store: Store, sources: Iterable[Source]) -> float | None:
    nexts = [due for source in sources if (due := _next_due(store, source)) is not None]
    return min(nexts) - store.now if nexts else None


def _next_due(store: Store, source: Source) -> float | None:
    if (source.low, source.high) == (MIN_PRIORITY, MAX_PRIORITY):
        return store.value("claim.next_due", {"queue": source.queue, "now": store.now})
    lane = {"queue": source.queue, "low": source.low, "high": source.high, "now": store.now}
    return store.value("claim.next_due_in_lane", lane)
