"""Handing out jobs."""

from __future__ import annotations

from itertools import starmap
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.sqlite.states import HELD_UNTIL_CLAIMED
from asyncqueue.drivers.sqlite.store import has_any, listed
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Claim, Claimed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.sqlite.store import Store
    from asyncqueue.record import Source

# Handing out takes no step of Python for each job.
SEQ: Final = itemgetter(0)
KEY_HOLD: Final = itemgetter(1)
FIELDS: Final = itemgetter(slice(2, None))
LATCH: Final = attrgetter("latch")


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
        "seqs": listed(map(SEQ, rows)),
        "now": store.now,
        "until": store.now + lease,
        "worker": worker,
    }
    store.change("claim.take", taken)
    if any(map(KEY_HOLD, rows)):
        until_claimed = (row[0] for row in rows if row[1] == HELD_UNTIL_CLAIMED)
        store.change("claim.free_keys", {"seqs": listed(until_claimed)})
    claims = list(starmap(Claim, map(FIELDS, rows)))
    if has_any(LATCH, claims):
        _call_off(store, {row[0]: claim for row, claim in zip(rows, claims, strict=True)})
    return claims


def _call_off(store: Store, claims: dict[int, Claim]) -> None:
    latched = listed(seq for seq, claim in claims.items() if claim.latch is not None)
    for (seq,) in store.rows("claim.called_off", {"seqs": latched, "now": store.now}):
        claims[seq].called_off = True


def _due_in(store: Store, sources: Iterable[Source]) -> float | None:
    nexts = [due for source in sources if (due := _next_due(store, source)) is not None]
    return min(nexts) - store.now if nexts else None


def _next_due(store: Store, source: Source) -> float | None:
    if (source.low, source.high) == (MIN_PRIORITY, MAX_PRIORITY):
        return store.value("claim.next_due", {"queue": source.queue, "now": store.now})
    lane = {"queue": source.queue, "low": source.low, "high": source.high, "now": store.now}
    return store.value("claim.next_due_in_lane", lane)
