"""Handing out jobs."""

from __future__ import annotations

import time
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.postgres import permits, restricted
from asyncqueue.drivers.postgres.states import MEMBER
from asyncqueue.record import Claim, Claimed, Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.drivers.postgres.marks import Mark, Marks
    from asyncqueue.drivers.postgres.session import Work
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row

_FIELDS: Final = 10
"""The first columns are those of a claim."""
_PRIORITY: Final = 5
_SINCE: Final = itemgetter(10, 11)
"""A row's place among those of its lane and priority: available_at, seq."""
_LATCH: Final = 12
_NO_LATCH: Final = {None}
_PART: Final = 13
_NOW: Final = 14
_OF_CALL: Final = 15
"""The first of those columns that are the same in all rows."""
CROWD: Final = 1000
"""Due jobs of which a claim looks at no more."""
MOST_SET_ASIDE: Final = 1000
"""Jobs without a permit that one claim passes over; those behind them are due at once."""
PARTS_OF_A_LEASE: Final = 10
"""A claim that has some after such a part of their lease does not look for more."""
SOON: Final = 0.25
"""Seconds that are not too long for that, however short a lease is."""
MOST_NEWS: Final = 5
"""How often one claim does what is due first; others may be about it."""


class Claimer(NamedTuple):
    """Who claims, the number of the call, and what the driver remembers of earlier ones."""

    worker: str
    lease: float
    handout: int
    crowded: set[str]
    """Queues in which very many jobs are due."""
    marks: Marks
    began: float
    """When, by the monotonic clock of this machine."""
    times: list[float]
    """When its steps claimed something, by the clock of the store."""

    def is_late(self) -> bool:
        """Whether what was claimed must not wait for more: its leases run."""
        return time.monotonic() - self.began > max(self.lease / PARTS_OF_A_LEASE, SOON)

    def call(self) -> dict[str, object]:
        """Parameters that all statements have in common."""
        return {"lease": self.lease, "worker": self.worker, "handout": self.handout}


class Came(NamedTuple):
    """What a claim came upon, beside the jobs that it claimed."""

    due_in: float | None = None
    due: int = 0
    """How many delayed jobs are due."""
    opens: bool = False
    """Whether somebody may try again to get a permit."""
    restricted: bool = False
    """Whether one of those that are due has limits, or takes turns."""
    lane: int | None = None
    priority: int = 0
    """Of the first one that waits and has limits, or takes turns; the lane from 1."""


async def claim(
    work: Work, sources: Sequence[Source], limit: int, claimer: Claimer, claims: list[Claim]
) -> Claimed:
    """Claim due jobs until there are ``limit`` of them in ``claims``, one step after the other."""
    if claimer.crowded:
        queues = sorted(claimer.crowded)
        claimer.crowded.clear()
        claimer.marks.forget()
        await work(lambda store: store.change("claim.promote", queues=queues))
    due_in: float | None = None
    for lanes in _disjoint(sources):
        wait = await _Claiming(work, limit, claimer, claims).claim(lanes)
        if len(claims) >= limit:
            break
        due_in = _sooner(due_in, wait)
        if claims and claimer.is_late():
            due_in = 0.0
            break
    due_in = None if len(claims) >= limit else due_in
    return Claimed(claims, due_in, max(claimer.times, default=None))


class _Claiming:
    """Claims from lanes that do not overlap."""

    def __init__(self, work: Work, limit: int, claimer: Claimer, claims: list[Claim]) -> None:
        self._work = work
        self._limit = limit
        self._claimer = claimer
        self._claims = claims
        self._due_in: float | None = None
        self._news = 0
        self._aside = 0

    async def claim(self, lanes: Sequence[Source]) -> float | None:
        """Claim; answers the seconds until it is worth another try."""
        left: Sequence[Source] | None = lanes
        while left:
            claims, came = await self._work(self._plain(left))
            self._claims += claims
            if len(self._claims) >= self._limit:
                return None
            if self._claims and self._claimer.is_late():
                return 0.0
            # Those of a line that are due without limits have their place among those with limits.
            late = came.restricted or (came.lane is not None and came.due > 0)
            if self._news < MOST_NEWS and (came.opens or late):
                await self._hear(left, came, promote=late)
                continue
            self._due_in = _sooner(self._due_in, came.due_in)
            if came.lane is None:
                return self._due_in
            left = await self._restricted(left, came.lane - 1, came.priority)
            if self._aside >= MOST_SET_ASIDE:
                return 0.0
        return self._due_in

    def _plain(
        self, lanes: Sequence[Source]
    ) -> Callable[[Store], Awaitable[tuple[list[Claim], Came]]]:
        room, heed = self._limit - len(self._claims), self._news < MOST_NEWS
        return lambda store: _claim(store, lanes, room, self._claimer, heed=heed)

    async def _hear(self, lanes: Sequence[Source], came: Came, *, promote: bool) -> None:
        """Do what has to be done before the first can be claimed."""
        self._news += 1
        if came.opens:
            await self._work(permits.open_due, atomic=True)
        if promote:
            queues = sorted({lane.queue for lane in lanes})
            await self._work(lambda store: store.change("claim.promote", queues=queues))

    async def _restricted(
        self, lanes: Sequence[Source], place: int, priority: int
    ) -> Sequence[Source]:
        """Claim from a line where some have limits or take turns; answers what is left then."""
        lane, room = lanes[place], self._limit - len(self._claims)

        async def hand_out(store: Store) -> tuple[list[Claim], restricted.Handed]:
            call = self._claimer.call()
            handed = await restricted.hand_out(store, lane.queue, priority, room, call)
            return await _claims(store, handed.rows, self._claimer), handed

        claims, handed = await self._work(hand_out, atomic=True)
        self._claims += claims
        self._aside += handed.aside
        self._due_in = _sooner(self._due_in, handed.opens_in)
        if handed.rows or handed.aside:
            return lanes[place:]
        below = [Source(lane.queue, lane.low, priority - 1)] if lane.low < priority else []
        return [*below, *lanes[place + 1 :]]


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
    store: Store, lanes: Sequence[Source], limit: int, claimer: Claimer, *, heed: bool
) -> tuple[list[Claim], Came]:
    mark = claimer.marks.of(lanes)
    taken: list[Row] = []
    came = Came()
    if mark is not None and mark.quiet:
        taken = await _take_next(store, lanes[0], limit, claimer, mark)
    elif mark is not None:
        taken, came = await _take(store, lanes, limit, claimer, mark, heed=heed)
    if len(taken) < limit:
        room = limit - len(taken)
        plain = await _take_plain(store, lanes, room, claimer)
        rest, came = plain or await _take(store, lanes, room, claimer, None, heed=heed)
        taken += rest
    if came.due >= CROWD:
        claimer.crowded.update(lane.queue for lane in lanes)
    taken = _in_order(taken, lanes)
    claimer.marks.advance(lanes, taken, limit, quiet=not came.due)
    return await _claims(store, taken, claimer), came


async def _claims(store: Store, rows: Sequence[Row], claimer: Claimer) -> list[Claim]:
    if rows:
        claimer.times.append(rows[0][_NOW])
    claims = [Claim(*row[:_FIELDS]) for row in rows]
    if {row[_LATCH] for row in rows} - _NO_LATCH:
        await _name_latches(store, claims, rows)
    return claims


async def _name_latches(store: Store, claims: Sequence[Claim], rows: Sequence[Row]) -> None:
    latches = {row[_LATCH] for row in rows} - _NO_LATCH
    called_off = {id for (id,) in await store.rows("latches.called_off", ids=list(latches))}
    for claim, row in zip(claims, rows, strict=True):
        claim.latch = row[_LATCH]
        claim.called_off = row[_PART] == MEMBER and claim.latch in called_off


async def _take_next(
    store: Store, lane: Source, limit: int, claimer: Claimer, mark: Mark
) -> list[Row]:
    parameters: dict[str, object] = {"queue": lane.queue, "low": lane.low, "high": lane.high}
    parameters |= claimer.call() | mark.place() | {"limit": limit}
    return await store.composed("claim.take_next", "ready_jobs", "claim.from_the_mark", parameters)


async def _take_plain(
    store: Store, lanes: Sequence[Source], limit: int, claimer: Claimer
) -> tuple[list[Row], Came] | None:
    """None where it takes more than that; it is not tried again for a while then."""
    if not claimer.marks.may_be_plain(lanes):
        return None
    parameters: dict[str, object] = {"queue": lanes[0].queue, "limit": limit}
    parameters |= claimer.call()
    beginning = "claim.from_the_beginning"
    rows = await store.composed("claim.take_plain", "ready_jobs", beginning, parameters)
    *_, due_in, plain = rows[0]
    if not plain:
        claimer.marks.not_plain(lanes)
        return None
    taken = rows if rows[0][0] is not None else []
    return taken, Came(due_in if len(taken) < limit else None)


async def _take(
    store: Store,
    lanes: Sequence[Source],
    limit: int,
    claimer: Claimer,
    mark: Mark | None,
    *,
    heed: bool,
) -> tuple[list[Row], Came]:
    parameters: dict[str, object] = {
        "queues": [lane.queue for lane in lanes],
        "lows": [lane.low for lane in lanes],
        "highs": [lane.high for lane in lanes],
        "limit": limit,
        "heed": heed,
    }
    parameters |= claimer.call()
    if mark is None:
        beginning = "claim.from_the_beginning"
    else:
        beginning = "claim.from_the_mark"
        # Below its priority nobody looks for ready ones: nor may those go ahead that became due.
        lows = [max(lane.low, mark.priority) for lane in lanes]
        parameters |= mark.place() | {"lows": lows}
    rows = await store.composed("claim.take", "ready_jobs", beginning, parameters)
    came = Came(*rows[0][_OF_CALL:])
    return (rows if rows[0][0] is not None else []), came


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
