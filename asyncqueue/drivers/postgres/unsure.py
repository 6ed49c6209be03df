"""Calls whose answers were lost: what became of them is found out later.

A server that falls silent, or whose connection breaks, may have done what it was asked for, and
may even do it later on.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final, TypeVar

from asyncqueue.drivers.postgres import claim, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import Settlement

T = TypeVar("T")
LONGEST: Final = 60.0
"""Seconds for which a lost call is reckoned with."""


class Unsure:
    """What one driver does not know about its own claims and settlements."""

    def __init__(self) -> None:
        self._handouts: dict[int, float] = {}
        self._settlements: dict[tuple[str, int], float] = {}

    @property
    def of_claims(self) -> bool:
        """Whether jobs may have been handed out to nobody."""
        return bool(self._handouts)

    def new_handout(self) -> int:
        """A number for a call that claims."""
        return secrets.randbits(62)

    def lost_handout(self, handout: int) -> None:
        """The answer of that call never came: its jobs are nobody's."""
        self._handouts[handout] = time.monotonic() + LONGEST

    async def give_back(self, store: Store) -> None:
        """Return what lost calls claimed; once is not enough, as they may be done even now."""
        await claim.give_back_handouts(store, list(self._handouts))
        self._handouts = _current(self._handouts)

    def lost_settlements(self, settlements: Sequence[Settlement]) -> None:
        """Nobody knows whether these were stored. They will be tried again."""
        until = time.monotonic() + LONGEST
        self._settlements |= {(s.id, s.token): until for s in settlements}

    async def settle(self, store: Store, settlements: Sequence[Settlement]) -> list[bool]:
        """Settle; what an earlier try that seemed to fail has settled counts as settled now."""
        answers = await settle.settle(store, settlements)
        doubted = [
            place
            for place, s in enumerate(settlements)
            if not answers[place] and (s.id, s.token) in self._settlements
        ]
        if doubted:
            found = await settle.were_settled(store, [settlements[place] for place in doubted])
            for place, settled in zip(doubted, found, strict=True):
                answers[place] = settled
        for s in settlements:
            self._settlements.pop((s.id, s.token), None)
        self._settlements = _current(self._settlements)
        return answers


def _current(lost: dict[T, float]) -> dict[T, float]:
    now = time.monotonic()
    return {what: until for what, until in lost.items() if until > now}
