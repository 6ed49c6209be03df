"""Handing out jobs."""

from __future__ import annotations

import logging
import math
from itertools import starmap
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.permits import UNREAD
from asyncqueue.drivers.sqlite import turns
from asyncqueue.drivers.sqlite.limits import Limits, read
from asyncqueue.drivers.sqlite.states import HELD_UNTIL_CLAIMED
from asyncqueue.drivers.sqlite.store import has_any, listed
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Claim, Claimed, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Limited

log = logging.getLogger("asyncqueue.sqlite")

# Handing out takes no step of Python for each job.
SEQ: Final = itemgetter(0)
KEY_HOLD: Final = itemgetter(1)
LIMITS: Final = itemgetter(2)
FIELDS: Final = itemgetter(slice(3, None))
LATCH: Final = attrgetter("latch")
MOST_SET_ASIDE: Final = 1000
"""Jobs without a permit that one claim passes over; those behind them are due at once."""


class Lane(NamedTuple):
    """A source that is not paused, and what there is to claim: now, soon, and of those in turn."""

    source: Source
    ready: bool
    due: bool
    in_turn: bool
    fair_due: bool


def probe(store: Store, sources: Sequence[Source]) -> Claimed | None:
    """Look, without any lock, whether there is anything to claim; answers if there is not.

    Idle workers ask often, and must not stand in the way of those who write.
    """
    lanes, opens_at = _look(store, sources)
    if any(any(lane[1:]) for lane in lanes) or opens_at <= store.now:
        return None
    return Claimed([], _due_in(store, lanes, opens_at))


def claim(
    store: Store, sources: Sequence[Source], limit: int, lease: float, worker: str
) -> Claimed:
    """Claim up to ``limit`` due jobs."""
    lanes, opens_at = _look(store, sources)
    if opens_at <= store.now:
        Limits(store).open()
        lanes, opens_at = _look(store, sources)
    hand = Hand(store, lease, worker, limit)
    for lane in lanes:
        _take(store, lane, hand)
    claimed = Claimed(hand.claims, now=store.now)
    if hand.room > 0:
        if hand.set_aside:
            opens_at = _opens_at(store.value("limits.opens_at"))
        # Behind many that were set aside there may be more.
        claimed.due_in = 0.0 if hand.tired else _due_in(store, lanes, opens_at)
    return claimed


def _take(store: Store, lane: Lane, hand: Hand) -> None:
    source = lane.source
    if lane.due:
        store.change("claim.promote", {"queue": source.queue, "now": store.now})
    if lane.fair_due:
        turns.promote(store, source.queue)
    high = source.high
    if lane.in_turn or lane.fair_due:
        for priority in turns.priorities(store, source):
            hand.take_line(Source(source.queue, priority + 1, high))
            hand.take_turns(source.queue, priority)
            high = priority - 1
    if lane.ready or lane.due or hand.set_aside:
        hand.take_line(Source(source.queue, source.low, high))


def _look(store: Store, sources: Sequence[Source]) -> tuple[list[Lane], float]:
    """The sources that are not paused, and when some may try again that were set aside."""
    lanes = listed((source.queue, source.low, source.high) for source in sources)
    rows = sorted(store.rows("claim.probe", {"sources": lanes, "now": store.now}))
    found = [Lane(sources[number], *map(bool, seen)) for number, *seen, _ in rows]
    return found, _opens_at(rows[0][-1]) if rows else math.inf


def _opens_at(at: object) -> float:
    if isinstance(at, int | float):
        return at
    return math.inf if at is None else -math.inf  # Somebody else wrote there: look at once.


class Hand:
    """Hands out jobs of a lane after another until there are as many as were asked for."""

    def __init__(self, store: Store, lease: float, worker: str, most: int) -> None:
        self._store = store
        self._taken = {"now": store.now, "until": store.now + lease, "worker": worker}
        self._limits = Limits(store)
        self._most = most
        self.claims: list[Claim] = []
        self.set_aside = 0

    @property
    def room(self) -> int:
        """How many more may be claimed."""
        return self._most - len(self.claims)

    @property
    def tired(self) -> bool:
        """Whether so many were set aside that others should have the store for a while."""
        return self.set_aside >= MOST_SET_ASIDE

    def take_line(self, lane: Source) -> None:
        """Of a lane those who take no turns."""
        query = {"queue": lane.queue, "low": lane.low, "high": lane.high}
        while self.room > 0 and not self.tired and lane.low <= lane.high:
            rows = self._store.rows("claim.first", query | {"limit": self.room})
            if not self._pass_over(rows):
                return

    def take_turns(self, queue: str, priority: int) -> None:
        """At a priority those whose turn it is."""
        while self.room > 0 and not self.tired:
            seqs = turns.take(self._store, queue, priority, self.room)
            place = {seq: number for number, seq in enumerate(seqs)}
            rows = self._store.rows("claim.these", (listed(seqs),)) if seqs else []
            if not self._pass_over(sorted(rows, key=lambda row: place[row[0]])):
                return

    def _pass_over(self, rows: list[Row]) -> bool:
        """Hand out those that have their permits; answers whether some have not."""
        fine = self._admitted(rows) if has_any(LIMITS, rows) else rows
        self.claims += _hand_out(self._store, fine, self._taken)
        self.set_aside += len(rows) - len(fine)
        return len(fine) < len(rows)

    def _admitted(self, rows: list[Row]) -> list[Row]:
        missing: dict[int, str] = {}
        wanted: list[Limited] = []
        for row in rows:
            limits = read(LIMITS(row))
            claim = FIELDS(row)
            key = self._limits.admit(claim[0], claim[1], limits)
            if key is not None:
                missing[SEQ(row)] = key
                wanted += limits
            elif not limits and LIMITS(row) is not None:
                log.warning(UNREAD, claim[0])
        if missing:
            self._limits.set_aside(missing, wanted)
        return [row for row in rows if SEQ(row) not in missing]


def _hand_out(store: Store, rows: Sequence[Row], taken: dict[str, float | str]) -> list[Claim]:
    # Read, then write: an UPDATE that returns its rows took longer, and gives them in no order.
    store.change("claim.take", taken | {"seqs": listed(map(SEQ, rows))})
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


def _due_in(store: Store, lanes: Iterable[Lane], opens_at: float) -> float | None:
    nexts = [due for lane in lanes if (due := _next_due(store, lane.source)) is not None]
    due = min([*nexts, opens_at])
    return None if due == math.inf else due - store.now


def _next_due(store: Store, source: Source) -> float | None:
    if (source.low, source.high) == (MIN_PRIORITY, MAX_PRIORITY):
        return store.value("claim.next_due", {"queue": source.queue, "now": store.now})
    lane = {"queue": source.queue, "low": source.low, "high": source.high, "now": store.now}
    return store.value("claim.next_due_in_lane", lane)
