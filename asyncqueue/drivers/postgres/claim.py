"""Handing out jobs."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.postgres.states import MEMBER
from asyncqueue.record import Claim, Claimed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.marks import Mark, Marks
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Source

_FIELDS: Final = 10
"""The first columns are those of a claim."""
_PRIORITY: Final = 5
_SINCE: Final = itemgetter(10, 11)
"""A row's place among those of its lane and priority: available_at, seq."""
_LATCH: Final = 12
_NO_LATCH: Final = {None}
_PART: Final = 13
_DUE_IN: Final = 14
_DUE: Final = 15
CROWD: Final = 1000
"""Due jobs of which a claim looks at no more."""


class Claimer(NamedTuple):
    """Who claims, the number of the call, and what the driver remembers of earlier ones."""

    worker: str
    handout: int
    crowded: set[str]
    """Queues in which very many jobs are due."""
    marks: Marks


async def claim(
    store: Store, sources: Sequence[Source], limit: int, lease: float, claimer: Claimer
) -> Claimed:
    """Claim up to ``limit`` due jobs."""
    if claimer.crowded:
        queues = sorted(claimer.crowded)
        claimer.crowded.clear()
        claimer.marks.forget()
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
    mark = claimer.marks.of(lanes)
    taken: list[Row] = []
    due_in, due = None, 0
    if mark is not None and mark.quiet:
        taken = await _take_next(store, lanes[0], limit, lease, claimer, mark)
    elif mark is not None:
        taken, due_in, due = await _take(store, lanes, limit, lease, claimer, mark)
    if len(taken) < limit:
        rest, due_in, due = await _take(store, lanes, limit - len(taken), lease, claimer, None)
        taken += rest
    if due >= CROWD:
        claimer.crowded.update(lane.queue for lane in lanes)
    taken = _in_order(taken, lanes)
    claimer.marks.advance(lanes, taken, limit, quiet=not due)
    claimed = Claimed([Claim(*row[:_FIELDS]) for row in taken], due_in)
    if {row[_LATCH] for row in taken} - _NO_LATCH:
        await _name_latches(store, claimed.claims, taken)
    return claimed


async def _name_latches(store: Store, claims: Sequence[Claim], rows: Sequence[Row]) -> None:
    latches = {row[_LATCH] for row in rows} - _NO_LATCH
    called_off = {id for (id,) in await store.rows("latches.called_off", ids=list(latches))}
    for claim, row in zip(claims, rows, strict=True):
        claim.latch = row[_LATCH]
        claim.called_off = row[_PART] == MEMBER and claim.latch in called_off


async def _take_next(
    store: Store, lane: Source, limit: int, lease: float, claimer: Claimer, mark: Mark
) -> list[Row]:
    parameters: dict[str, object] = {"queue": lane.queue, "low": lane.low, "high": lane.high}
    parameters |= _of_call(limit, lease, claimer) | mark.place()
    return await store.composed("claim.take_next", "ready_jobs", "claim.from_the_mark", parameters)


async def _take(
    store: Store,
    lanes: Sequence[Source],
    limit: int,
    lease: float,
    claimer: Claimer,
    mark: Mark | None,
) -> tuple[list[Row], float | None, int]:
    """What was claimed, the seconds until the next delayed job is due, and how many are due."""
    parameters: dict[str, object] = {
        "queues": [lane.queue for lane in lanes],
        "lows": [lane.low for lane in lanes],
        "highs": [lane.high for lane in lanes],
    }
    parameters |= _of_call(limit, lease, claimer)
    if mark is None:
        beginning = "claim.from_the_beginning"
    else:
        beginning = "claim.from_the_mark"
        parameters |= mark.place()
    rows = await store.composed("claim.take", "ready_jobs", beginning, parameters)
    first = rows[0]
    return (rows if first[0] is not None else []), first[_DUE_IN], first[_DUE]


def _of_call(limit: int, lease: float, claimer: Claimer) -> dict[str, object]:
    return {"limit": limit, "lease": lease, "worker": claimer.worker, "handout": claimer.handout}


def _in_order(rows: list[Row], lanes: Sequence[Source]) -> list[Row]:
    rows.sort(key=_SINCE)
    if len({row[_PRIORITY] for row in rows}) > 1:
        rows.sort(key=itemgetter(_PRIORITY), reverse=True)
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
    store.ring_put_back({row[0] for row in rows})


async def give_back_handouts(store: Store, handouts: Sequence[int]) -> None:
    """Return whatever these calls claimed."""
    rows = await store.rows("claim.give_back_handouts", handouts=list(handouts))
    store.ring_put_back({row[0] for row in rows})
