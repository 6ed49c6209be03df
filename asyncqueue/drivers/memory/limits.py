"""Jobs that wait for permits: set aside when one is missing, and put back when there is one."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from asyncqueue.drivers.permits import Permits

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.record import Limited

    Place = tuple[str, int]
    """A queue and a priority."""


class Limits:
    """Who waits for which key. ``put_back`` is called with those who may try again.

    They wait apart by queue and priority, and as many of each as there are permits may try: else
    those that nobody serves, or that are paused, would keep the others from trying.
    """

    def __init__(self, put_back: Callable[[Entry, float], None]) -> None:
        self.permits = Permits()
        self._put_back = put_back
        self._aside: dict[str, dict[Place, list[tuple[float, int, Entry]]]] = {}
        self._opening: list[tuple[float, str]] = []
        self._armed: dict[str, float] = {}

    def admit(self, entry: Entry, now: float) -> bool:
        """Take all permits that an entry needs to be claimed, or set it aside."""
        for limit in entry.limits:
            wait = self.permits.wait(limit.key, limit.most, now)
            if wait > 0:
                self._set_aside(entry, limit, now + wait)
                self._try_others(entry, limit, now)
                return False
        for limit in entry.limits:
            if limit.per is None:
                self.permits.take(limit.key, entry.id, math.inf)
            else:
                self.permits.take(limit.key, f"{entry.id}/{entry.token + 1}", now + limit.per)
        return True

    def ended(self, entry: Entry, now: float) -> None:
        """An entry is no longer being processed."""
        for limit in entry.limits:
            if limit.per is None:
                self.permits.give_back(limit.key, entry.id, now)
            self.refill(limit, now)

    def gone(self, entry: Entry, now: float) -> None:
        """An entry waits no longer and was not claimed: another one may try in its place."""
        key, entry.aside = entry.aside, None
        if key is not None:
            places = self._aside[key]
            place = _place(entry)
            waiting = [item for item in places[place] if item[2] is not entry]
            heapify(waiting)
            places[place] = waiting
        for limit in entry.limits:
            self.refill(limit, now)

    def refill(self, limit: Limited, now: float) -> None:
        """Let as many try again as there are permits, of each queue and priority."""
        places = self._aside.get(limit.key)
        room = self.permits.room(limit, now) if places else 0
        if not places or not room:
            return
        for place, waiting in list(places.items()):
            for _ in range(min(room, len(waiting))):
                entry = heappop(waiting)[2]
                entry.aside = None
                self._put_back(entry, now)
            if not waiting:
                del places[place]
        if not places:
            del self._aside[limit.key]

    def open(self, now: float) -> None:
        """Let those try whose permits have expired by now."""
        while self.opens_at() <= now:
            key = heappop(self._opening)[1]
            del self._armed[key]
            limit = self._limit_of(key)
            if limit is None:
                continue
            self.refill(limit, now)
            if key in self._aside:
                wait = self.permits.wait(key, limit.most, now) or limit.per or math.inf
                self._arm(key, now + wait)

    def opens_at(self) -> float:
        """When somebody who waits may try again; infinity when that depends on others."""
        while self._opening:
            at, key = self._opening[0]
            if self._armed.get(key) == at:
                return at
            heappop(self._opening)  # It was looked at earlier.
        return math.inf

    def released(self, key: str, now: float) -> None:
        """Permits of a key were given back by hand."""
        limit = self._limit_of(key)
        if limit is not None:
            self.refill(limit, now)

    def _set_aside(self, entry: Entry, limit: Limited, until: float) -> None:
        entry.aside = limit.key
        waiting = self._aside.setdefault(limit.key, {}).setdefault(_place(entry), [])
        heappush(waiting, (entry.available_at, entry.seq, entry))
        self._arm(limit.key, until)

    def _try_others(self, entry: Entry, missing: Limited, now: float) -> None:
        """Others may try in the place of one that lacks another permit than they do."""
        for limit in entry.limits:
            if limit is not missing:
                self.refill(limit, now)

    def _arm(self, key: str, at: float) -> None:
        """Look at this key again at this instant, unless that is done earlier anyway."""
        if at < self._armed.get(key, math.inf):
            self._armed[key] = at
            heappush(self._opening, (at, key))

    def _limit_of(self, key: str) -> Limited | None:
        for waiting in self._aside.get(key, {}).values():
            for _, _, entry in waiting:
                return next(limit for limit in entry.limits if limit.key == key)
        return None


def _place(entry: Entry) -> Place:
    return entry.queue, entry.priority
