"""Low-water marks: how far the claims of a lane have come, and what they met.

A claimed job leaves a dead entry in the index of the ready ones, which cannot be removed while any
transaction on the server is as old as it. A claim from the beginning would walk over all of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Source

VALID_FOR: Final = 1.0
"""Seconds after which a claim looks at the beginning again: others may have put jobs back."""
ENOUGH: Final = 50
"""Claims of fewer jobs leave too little behind to be worth a mark."""


class Mark(NamedTuple):
    """The last job that a claim handed out; those before it in the order of the lane are gone."""

    priority: int
    available_at: float
    seq: int
    quiet: bool
    """Whether nothing delayed was due at that moment."""

    def place(self) -> dict[str, object]:
        """The parameters of a claim that starts behind it."""
        return {
            "mark_priority": self.priority,
            "mark_available_at": self.available_at,
            "mark_seq": self.seq,
        }


class Marks:
    """The marks of one driver."""

    def __init__(self, enough: int = ENOUGH) -> None:
        self._enough = enough
        self._marks: dict[Source, tuple[float, Mark]] = {}
        self._not_plain: dict[Source, float] = {}

    def of(self, lanes: Sequence[Source]) -> Mark | None:
        """Where a claim from these lanes may start; None: at the beginning."""
        if len(lanes) != 1:
            return None
        until, mark = self._marks.get(lanes[0], (0.0, None))
        return mark if until > time.monotonic() else None

    def advance(
        self, lanes: Sequence[Source], rows: Sequence[Row], limit: int, *, quiet: bool
    ) -> None:
        """A claim gave these rows, in their order: go on behind the last, if there may be more."""
        if len(lanes) != 1 or len(rows) < limit or limit < self._enough:
            return
        now = time.monotonic()
        until, _ = self._marks.get(lanes[0], (0.0, None))
        _, _, _, _, _, priority, *_, available_at, seq = rows[-1][:12]
        mark = Mark(priority, available_at, seq, quiet)
        self._marks[lanes[0]] = (until if until > now else now + VALID_FOR, mark)

    def may_be_plain(self, lanes: Sequence[Source]) -> bool:
        """Whether these are one whole queue in which there may be nothing but ready jobs."""
        if len(lanes) != 1 or lanes[0].low > MIN_PRIORITY or lanes[0].high < MAX_PRIORITY:
            return False
        return self._not_plain.get(lanes[0], 0.0) <= time.monotonic()

    def not_plain(self, lanes: Sequence[Source]) -> None:
        """There is more in this queue: most likely the next claims will meet that, too."""
        self._not_plain[lanes[0]] = time.monotonic() + VALID_FOR

    def forget(self) -> None:
        """Jobs were put back: start at the beginning."""
        self._marks.clear()
