"""Handing out jobs."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.record import Claim, Claimed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Source

_ORDER: Final = itemgetter(10, 11, 12)
"""A row's place among those of its lane."""
_DUE_IN: Final = 13
_CROWDED: Final = 14
_FIELDS: Final = 10
"""The first columns are those of a claim."""


class Claimer(NamedTuple):
    """Who claims, the number of the call, and the queues in which very many jobs are due."""

    worker: str
    handout: int
    crowded: set[str]


async def claim(
    store: Store, sources: Sequence[Source], limit: int, lease: float, claimer: Claimer
) -> Claimed:
    """Claim up to ``limit`` due jobs."""
    if claimer.crowded:
        queues = sorted(claimer.crowded)
        claimer.crowded.clear()
        await store.change("claim.promote", queues=queues)
    claimed = Claimed([])
    for lanes in _disjoint(sources):
        part = await _claim(store, lanes, limit - len(claimed.claims), lease, claimer)
        claimed.claims += part.claims
        if len(claimed.claims) >= limit:
            return Claimed(claimed.claims)
        claimed.due_in = _sooner(claimed.due_in, part.due_in)
    return claimed


def _disjoint(sources: Sequence[Source]) -> list[list[Source]]:
    """Cut the sources into pieces in which no two lanes overlap: one statement each."""
    pieces: list[list[Source]] = []
    for source in sources:
        if not pieces or any(_overlap(source, other) for other in pieces[-1]):
            pieces.append([])
        pieces[-1].append(source)
    return pieces


def _overlap(one: Source, other: Source) -> bool:
    return one.queue == other.queue and one.low <= other.high and other.low <= one.high


async def _claim(
    store: Store, lanes: Sequence[Source], limit: int, lease: float, claimer: Claimer
) -> Claimed:
    rows = await store.rows(
        "claim.take",
        queues=[lane.queue for lane in lanes],
        lows=[lane.low for lane in lanes],
        highs=[lane.high for lane in lanes],
        limit=limit,
        lease=lease,
        worker=claimer.worker,
        handout=claimer.handout,
    )
    due_in = rows[0][_DUE_IN]
    if rows[0][_CROWDED]:
        claimer.crowded.update(lane.queue for lane in lanes)
    if rows[0][0] is None:
        return Claimed([], due_in)
    return Claimed([Claim(*row[:_FIELDS]) for row in _in_order(rows, lanes)], due_in)


def _in_order(rows: list[Row], lanes: Sequence[Source]) -> list[Row]:
    rows.sort(key=_ORDER)
    if len(lanes) > 1:
        rows.sort(key=lambda row: _place(row, lanes))
    return rows


def _place(row: Row, lanes: Sequence[Source]) -> int:
    queue, priority = row[2], row[5]
    return next(
        place
        for place, lane in enumerate(lanes)
        if lane.queue == queue and lane.low <= priority <= lane.high
    )


def _sooner(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


async def give_back(store: Store, claims: Sequence[Claim]) -> None:
    """Return claims that were never delivered: their attempt does not count."""
    ordered = sorted(claims, key=lambda claim: claim.id)
    rows = await store.rows(
        "claim.give_back",
        ids=[claim.id for claim in ordered],
        tokens=[claim.token for claim in ordered],
    )
    store.ring("queue", {row[0] for row in rows})


async def give_back_handouts(store: Store, handouts: Sequence[int]) -> None:
    """Return whatever these calls claimed."""
    rows = await store.rows("claim.give_back_handouts", handouts=list(handouts))
    store.ring("queue", {row[0] for row in rows})
