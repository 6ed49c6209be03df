"""A line in which the jobs of several keys take turns."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from asyncqueue.drivers.memory.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncqueue.drivers.memory.entry import Entry


class FairLine(Line):
    """A line for each key, asked in turn. Entries without a key are all of one key."""

    __slots__ = ("_lines", "_turns")

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str | None, Line] = {}
        self._turns: deque[str | None] = deque()

    @classmethod
    def instead_of(cls, line: Line, now: float) -> FairLine:
        """A fair line with those who wait in another one."""
        fair = cls()
        for entry in sorted(line, key=lambda entry: (entry.available_at, entry.seq)):
            fair.join(entry, now)
        return fair

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __iter__(self) -> Iterator[Entry]:
        return chain.from_iterable(self._lines.values())

    def join(self, entry: Entry, now: float) -> None:
        """Wait for the turn of its key, behind those of the same key."""
        line = self._lines.get(entry.fair)
        if line is None:
            line = self._lines[entry.fair] = Line()
            self._turns.append(entry.fair)
        line.join(entry, now)

    def leave(self, entry: Entry) -> None:
        """One of the entries waits no longer."""
        line = self._lines.get(entry.fair)
        if line is not None:
            line.leave(entry)
            self._close_if_empty(entry.fair, line)

    def first(self) -> Entry | None:
        """Who is due first."""
        firsts = (line.first() for line in self._lines.values())
        return min((one for one in firsts if one), key=lambda one: one.available_at, default=None)

    def take(self, most: int, now: float) -> list[Entry]:
        """Take one who is due of each key in turn."""
        taken: list[Entry] = []
        passed = 0
        while len(taken) < most and passed < len(self._turns):
            key = self._turns[0]
            line = self._lines[key]
            got = line.take(1, now)
            self._turns.rotate(-1)
            taken += got
            passed = 0 if got else passed + 1
            self._close_if_empty(key, line)
        return taken

    def count_delayed(self, now: float) -> int:
        """How many are not due yet."""
        return sum(line.count_delayed(now) for line in self._lines.values())

    def _close_if_empty(self, key: str | None, line: Line) -> None:
        if not line:
            del self._lines[key]
            self._turns.remove(key)
