"""The jobs of one queue, by what becomes of them."""

from __future__ import annotations

from bisect import insort
from operator import neg
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.memory.fair import FairLine
from asyncqueue.drivers.memory.line import Line
from asyncqueue.record import QueueCounts, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.record import Source

TOO_FEW_TO_TIDY: Final = 16


class Shelf:
    """One queue: a line per priority for those who wait, a dict per state for the others."""

    __slots__ = ("_lines", "_priorities", "aside", "held", "processing")

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._priorities: list[int] = []
        self.aside: dict[str, Entry] = {}
        """Who waits for a permit, in no line."""
        self.processing: dict[str, Entry] = {}
        self.held: dict[State, dict[str, Entry]] = {
            State.PROCESSING: self.processing,
            State.COMPLETED: {},
            State.FAILED: {},
            State.CANCELLED: {},
        }

    def __bool__(self) -> bool:
        return any(self.held.values()) or any(self._lines.values()) or bool(self.aside)

    def line(self, priority: int) -> Line:
        """The line of this priority, opened when there is none."""
        line = self._lines.get(priority)
        if line is None:
            line = self._lines[priority] = Line()
            insort(self._priorities, priority, key=neg)
        return line

    def join(self, entry: Entry, now: float) -> None:
        """Wait in the line of its priority, which becomes a fair one for it if need be."""
        line = self.line(entry.priority)
        if entry.fair is not None and not isinstance(line, FairLine):
            line = self._lines[entry.priority] = FairLine.instead_of(line, now)
        line.join(entry, now)

    def lines(self, source: Source) -> Iterator[Line]:
        """The lines of a lane, higher priorities first."""
        for priority in self._priorities:
            if source.low <= priority <= source.high:
                yield self._lines[priority]

    def take(self, source: Source, most: int, now: float) -> list[Entry]:
        """Take due entries by priority, then in the order of their line."""
        if len(self._priorities) > TOO_FEW_TO_TIDY:
            self._close_empty_lines()
        taken: list[Entry] = []
        for line in self.lines(source):
            taken += line.take(most - len(taken), now)
            if len(taken) == most:
                break
        return taken

    def count_waiting(self, source: Source) -> int:
        """How many wait in a lane, due or not."""
        aside = sum(source.low <= one.priority <= source.high for one in self.aside.values())
        return aside + sum(len(line) for line in self.lines(source))

    def next_due(self, source: Source) -> float | None:
        """When the first who waits in a lane is due."""
        firsts = (line.first() for line in self.lines(source))
        return min((entry.available_at for entry in firsts if entry is not None), default=None)

    def counts(self, now: float) -> QueueCounts:
        """How many entries are in which state."""
        lines = self._lines.values()
        waiting = sum(len(line) for line in lines) + len(self.aside)
        delayed = sum(line.count_delayed(now) for line in lines)
        firsts = [*(line.first() for line in lines), *self.aside.values()]
        oldest = min((entry.available_at for entry in firsts if entry is not None), default=now)
        return QueueCounts(
            pending=waiting - delayed,
            delayed=delayed,
            oldest_seconds=max(0.0, now - oldest),
            **{state.value: len(held) for state, held in self.held.items()},
        )

    def _close_empty_lines(self) -> None:
        self._priorities = [priority for priority in self._priorities if self._lines[priority]]
        self._lines = {priority: self._lines[priority] for priority in self._priorities}
