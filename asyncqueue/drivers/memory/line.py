"""The waiting jobs of one queue and priority."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.memory.entry import PENDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncqueue.drivers.memory.entry import Entry

TOO_FEW_TO_TIDY: Final = 64


class Line:
    """Waiting entries in order of due time, then of dispatch.

    Nearly all jobs are dispatched in that very order: they stand in ``_row``, which costs nothing
    to keep in order. Delayed and returned ones stand in the heap ``_aside``. An entry that was
    cancelled or deleted stays as a gap until its turn comes or until gaps are the majority.
    """

    __slots__ = ("_aside", "_gaps", "_row")

    def __init__(self) -> None:
        self._row: deque[Entry] = deque()
        self._aside: list[tuple[float, int, Entry]] = []
        self._gaps = 0

    def __len__(self) -> int:
        return len(self._row) + len(self._aside) - self._gaps

    def __iter__(self) -> Iterator[Entry]:
        everyone = chain(self._row, (item[2] for item in self._aside))
        return (entry for entry in everyone if entry.state is PENDING)

    def join(self, entry: Entry, now: float) -> None:
        """Wait here."""
        row = self._row
        if entry.available_at > now or (row and not _in_order(row[-1], entry)):
            heappush(self._aside, (entry.available_at, entry.seq, entry))
        else:
            row.append(entry)

    def leave(self, _entry: Entry) -> None:
        """One of the entries waits no longer: its state says which."""
        self._gaps += 1
        if self._gaps > TOO_FEW_TO_TIDY and self._gaps > len(self):
            self._row = deque(entry for entry in self._row if entry.state is PENDING)
            self._aside = [item for item in self._aside if item[2].state is PENDING]
            heapify(self._aside)
            self._gaps = 0

    def first(self) -> Entry | None:
        """Who is next, due or not."""
        while self._row or self._aside:
            entry = self._aside[0][2] if self._aside_is_next() else self._row[0]
            if entry.state is PENDING:
                return entry
            self._drop_next()
            self._gaps -= 1
        return None

    def take(self, most: int, now: float) -> list[Entry]:
        """Take those who are due, in order."""
        taken: list[Entry] = []
        row = self._row
        if not self._aside and not self._gaps:
            while row and len(taken) < most and row[0].available_at <= now:
                taken.append(row.popleft())
            return taken
        while len(taken) < most:
            entry = self.first()
            if entry is None or entry.available_at > now:
                break
            self._drop_next()
            taken.append(entry)
        return taken

    def count_delayed(self, now: float) -> int:
        """How many are not due yet."""
        if self._row and self._row[-1].available_at > now:  # The system's clock was set back.
            return sum(entry.available_at > now for entry in self)
        return sum(due > now and entry.state is PENDING for due, _, entry in self._aside)

    def _aside_is_next(self) -> bool:
        if not self._aside:
            return False
        return not self._row or _in_order(self._aside[0][2], self._row[0])

    def _drop_next(self) -> None:
        if self._aside_is_next():
            heappop(self._aside)
        else:
            self._row.popleft()


def _in_order(one: Entry, other: Entry) -> bool:
    if one.available_at == other.available_at:
        return one.seq < other.seq
    return one.available_at < other.available_at
