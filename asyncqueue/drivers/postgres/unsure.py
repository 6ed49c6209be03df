"""Calls whose answers were lost: what became of them is found out later.

A server that falls silent, or whose connection breaks, may have done what it was asked for, and
may even do it later on.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.postgres import ending, giving_back, permits, settle
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncqueue.drivers.postgres.session import Work
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import Counted, Settlement

    Answer = bool | Counted

LONGEST: Final = 60.0
"""Seconds for which a lost call is reckoned with."""


class Unsure:
    """What one driver does not know about its own claims and settlements."""

    def __init__(self) -> None:
        self._handouts: dict[int, float] = {}
        self._settlements: dict[tuple[str, int], tuple[float, Answer]] = {}

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

    async def give_back(self, work: Work) -> None:
        """Return what lost calls claimed; once is not enough, as they may be done even now."""
        await giving_back.give_back_handouts(work, list(self._handouts))
        now = time.monotonic()
        self._handouts = {lost: until for lost, until in self._handouts.items() if until > now}

    async def settle(self, work: Work, settlements: Sequence[Settlement]) -> list[Answer]:
        """Settle; what an earlier try that seemed to fail has settled counts as settled now.

        Those that are linked are settled in one transaction, the others by one statement. Both
        leave those with limits, which are found out by this, to one more transaction. Where one of
        them is in the way of what follows another, all are settled in turn, in one transaction.
        """
        plain, linked = ending.parted(settlements)
        answers: dict[int, Answer] = {}

        async def end_in_turn(store: Store, places: Sequence[int]) -> None:
            ends = [settlements[place] for place in places]
            told = await ending.settle_in_turn(store, ends)
            answers.update(zip(places, await self._recovered(store, ends, told), strict=True))

        async def end(store: Store) -> None:
            ends = [settlements[place] for place in plain]
            told: list[Answer] = [*await settle.settle(store, ends)]
            answers.update(zip(plain, await self._recovered(store, ends, told), strict=True))

        async def end_in_one(store: Store, places: Sequence[int], *, limited: bool) -> None:
            ends = [settlements[place] for place in places]
            told = await ending.settle(store, ends, limited=limited)
            answers.update(zip(places, await self._recovered(store, ends, told), strict=True))

        try:
            if linked and await work(lambda store: ending.in_each_others_way(store, settlements)):
                await work(lambda store: end_in_turn(store, sorted([*plain, *linked])), atomic=True)
                plain = linked = ()
            if plain:
                await work(end)
            if linked:
                await work(lambda store: end_in_one(store, linked, limited=False), atomic=True)
            left = [place for place, answer in answers.items() if answer is False]
            if left:
                ends = [settlements[place] for place in left]
                some = await work(lambda store: permits.limited(store, ends))
                limited = [left[place] for place in some]
                if limited:
                    await work(lambda store: end_in_one(store, limited, limited=True), atomic=True)
        except DriverError:  # Unavailable, or one refused the linked ones when others were stored.
            self._lost(settlements, answers)
            raise
        self.found(settlements)
        return [answers.get(place, False) for place in range(len(settlements))]

    def _lost(self, settlements: Sequence[Settlement], answers: Mapping[int, Answer]) -> None:
        """Nobody knows whether these were stored. They will be tried again.

        What the last try would have answered is the answer if they were.
        """
        until = time.monotonic() + LONGEST
        for place, s in enumerate(settlements):
            self._settlements[s.id, s.token] = (until, answers.get(place) or True)

    async def _recovered(
        self, store: Store, settlements: Sequence[Settlement], answers: list[Answer]
    ) -> list[Answer]:
        if not self._settlements:
            return answers
        claims = [(s.id, s.token) for s in settlements]
        now = {claim for claim, answer in zip(claims, answers, strict=True) if answer}
        doubted = [
            place
            for place, claim in enumerate(claims)
            if claim in self._settlements and claim not in now and not answers[place]
        ]
        if doubted:
            found = await settle.were_settled(store, [settlements[place] for place in doubted])
            for place, settled in zip(doubted, found, strict=True):
                s = settlements[place]
                answers[place] = settled and self._settlements[s.id, s.token][1]
        return answers

    def found(self, settlements: Sequence[Settlement]) -> None:
        """What became of these is known."""
        if self._settlements:
            now, known = time.monotonic(), {(s.id, s.token) for s in settlements}
            self._settlements = {
                claim: (until, answer)
                for claim, (until, answer) in self._settlements.items()
                if until > now and claim not in known
            }
