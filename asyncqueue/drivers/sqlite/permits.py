"""Permits: who has which, and until when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from asyncqueue.record import Permit

if TYPE_CHECKING:
    from asyncqueue.drivers.sqlite.store import Store


class Permits:
    """The permits that one call is about. Counts are kept: nobody else changes them meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taken: dict[str, int] = {}

    def taken(self, key: str) -> int:
        """How many of a key are taken."""
        taken = self._taken.get(key)
        if taken is None:
            self._store.change("permits.expire", {"key": key, "now": self._store.now})
            taken = self._taken[key] = self._store.value("permits.taken", (key,))
        return taken

    def wait(self, key: str, most: int) -> float:
        """Seconds until there is one; 0.0 now, infinity when somebody has to give one back."""
        taken = self.taken(key)
        if taken < most:
            return 0.0
        # All but `most - 1` of them have to go.
        until = self._store.value("permits.ends", {"key": key, "offset": taken - most})
        return math.inf if _is_endless(until) else until - self._store.now

    def holds(self, key: str, holder: str) -> bool:
        """Whether somebody has one."""
        self.taken(key)
        return bool(self._store.value("permits.holds", (key, holder)))

    def take(self, key: str, holder: str, seconds: float) -> None:
        """Take one, or keep one, for so long."""
        until = self._store.now + seconds
        self._store.change("permits.take", {"key": key, "holder": holder, "until": until})
        self._taken.pop(key, None)

    def give_back(self, key: str, holder: str | None) -> int:
        """Give back that of one holder, or all; answers how many."""
        self._taken.pop(key, None)
        if holder is None:
            return self._store.change("permits.give_back_all", (key,))
        return self._store.change("permits.give_back", (key, holder))


def acquire(store: Store, key: str, holder: str, most: int, ttl: float) -> float:
    """Take a permit; 0.0, or the seconds until one expires."""
    permits = Permits(store)
    wait = 0.0 if permits.holds(key, holder) else permits.wait(key, most)
    if wait <= 0:
        permits.take(key, holder, ttl)
        return 0.0
    return wait


def holders(store: Store, key: str) -> list[Permit]:
    """The permits that are taken, the first to expire first."""
    rows = store.rows("permits.holders", {"key": key, "now": store.now})
    return [
        Permit(holder, None if _is_endless(until) else until - store.now) for holder, until in rows
    ]


def _is_endless(until: Any) -> bool:
    """Whether it is never over; what is no time is behind all times."""
    return not isinstance(until, int | float) or until == math.inf


def prune(store: Store) -> int:
    """Forget those that have expired."""
    return store.change("permits.prune", (store.now,))
