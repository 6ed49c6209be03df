"""Memory drivers whose turns have one defect each: proof that the state machine can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.memory.fair import FairLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.record import Claimed, Source


class _OtherTurns(MemoryDriver):
    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        fair: Any = FairLine
        take = fair.take
        fair.take = lambda line, most, now: self.turns(line, most, now, take)
        try:
            return await super().claim(sources, limit, lease, worker)
        finally:
            fair.take = take

    def turns(
        self, line: FairLine, most: int, now: float, _: Callable[..., list[Entry]]
    ) -> list[Entry]:
        """The next of a line."""
        raise NotImplementedError


class NoTurns(_OtherTurns):
    """Who came first is first."""

    def turns(
        self, line: FairLine, most: int, now: float, _: Callable[..., list[Entry]]
    ) -> list[Entry]:
        """By their times alone."""
        due = [entry for entry in line if entry.available_at <= now]
        chosen = sorted(due, key=lambda entry: (entry.available_at, entry.seq))[:most]
        return [line._lines[entry.fair].take(1, now)[0] for entry in chosen]


class WholeKeys(_OtherTurns):
    """Whoever has a turn takes all that there is."""

    def turns(
        self, line: FairLine, most: int, now: float, _: Callable[..., list[Entry]]
    ) -> list[Entry]:
        """As many as are due of one key after the other."""
        taken: list[Entry] = []
        for key in list(line._turns):
            own = line._lines[key]
            taken += own.take(most - len(taken), now)
            line._close_if_empty(key, own)
        return taken


class KeylessFirst(_OtherTurns):
    """Those without a key need not wait for a turn."""

    def turns(
        self, line: FairLine, most: int, now: float, take: Callable[..., list[Entry]]
    ) -> list[Entry]:
        """All of these, then the others."""
        own = line._lines.get(None)
        if own is None:
            return take(line, most, now)
        taken = own.take(most, now)
        line._close_if_empty(None, own)
        return taken + take(line, most - len(taken), now)


TURN_DEFECTS: Final = (NoTurns, WholeKeys, KeylessFirst)
