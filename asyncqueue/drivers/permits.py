"""Permits of a memory store: who holds how many of which key, and until when."""

from __future__ import annotations

import math
from typing import Final

from asyncqueue.record import Limited, Permit

UNREAD: Final = "Job %s runs without its limits, as what is stored of them cannot be read"
"""What a log is told of such a job when it is claimed."""


class Permits:
    """For each key its holders, in the order in which they took theirs."""

    def __init__(self) -> None:
        self._taken: dict[str, dict[str, float]] = {}

    def wait(self, key: str, most: int, now: float) -> float:
        """Seconds until there is one; 0.0 now, infinity when somebody has to give one back."""
        taken = self._live(key, now)
        if len(taken) < most:
            return 0.0
        # All but `most - 1` of them have to go.
        return sorted(taken.values())[len(taken) - most] - now

    def take(self, key: str, holder: str, until: float) -> None:
        """Take one, or keep one, until this instant."""
        taken = self._taken.setdefault(key, {})
        taken.pop(holder, None)
        taken[holder] = until

    def give_back(self, key: str, holder: str | None, now: float) -> int:
        """Give back that of one holder, or all; answers how many."""
        taken = self._live(key, now)
        gone = len(taken) if holder is None else int(holder in taken)
        if holder is None:
            taken.clear()
        else:
            taken.pop(holder, None)
        if not taken:
            self._taken.pop(key, None)
        return gone

    def holders(self, key: str, now: float) -> list[Permit]:
        """Those that are taken."""
        return [
            Permit(holder, None if until == math.inf else until - now)
            for holder, until in sorted(self._live(key, now).items(), key=lambda item: item[1])
        ]

    def room(self, limit: Limited, now: float) -> int:
        """How many permits are left."""
        return max(limit.most - len(self._live(limit.key, now)), 0)

    def holds(self, key: str, holder: str, now: float) -> bool:
        """Whether somebody holds one."""
        return holder in self._live(key, now)

    def _live(self, key: str, now: float) -> dict[str, float]:
        taken = self._taken.get(key)
        if taken is None:
            return {}
        for holder in [holder for holder, until in taken.items() if until <= now]:
            del taken[holder]
        if not taken:
            del self._taken[key]
        return taken
