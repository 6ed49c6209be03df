"""A memory driver that claims what a driver in several parts has claimed, if it may do that."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.record import Claim, Source


class FollowingDriver(MemoryDriver):
    """Claims the jobs in ``chosen``: the most urgent ones, and of each part the oldest."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.chosen: list[str] = []
        self.parts: dict[str, int] = {}
        """In which part of the other store each job is."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """Claim them, or fail."""
        store, now = self._store, self._store.now()
        due = self._due(sources, now)
        entries = [store.entries[id] for id in self.chosen]
        levels = [due.get(entry.id) for entry in entries]
        assert levels == sorted(due.values())[: max(limit, 0)], "others are more urgent"
        for entry in entries:
            older = [
                id
                for id, level in due.items()
                if level == due[entry.id] and self.parts[id] == self.parts[entry.id]
            ]
            assert older[0] == entry.id, "others of its part are older"
            del due[entry.id]
        claimed = Claimed([self._hand_out(entry, now, lease, worker) for entry in entries])
        if 0 < limit > len(entries):
            claimed.due_in = self._due_in(sources, now)
        return claimed

    def _due(self, sources: Sequence[Source], now: float) -> dict[str, tuple[int, int]]:
        """Who is due, in order, and how urgent each is."""
        due: dict[str, tuple[int, int]] = {}
        for index, source in enumerate(sources):
            shelf = self._store.shelves.get(source.queue)
            if shelf is None or source.queue in self._store.paused:
                continue
            entries = [entry for line in shelf.lines(source) for entry in line]
            for entry in sorted(entries, key=lambda one: (one.available_at, one.seq)):
                if entry.available_at <= now:
                    due.setdefault(entry.id, (index, -entry.priority))
        return due

    def _hand_out(self, entry: Entry, now: float, lease: float, worker: str) -> Claim:
        claim = self._store.hand_out(entry, now, now + lease, worker)
        self._store.first_lease = min(self._store.first_lease, now + lease)
        shelf = self._store.shelves[entry.queue]
        # Not by a gap: this entry may come back.
        line = shelf.line(entry.priority)
        line._row = deque(one for one in line._row if one is not entry)
        line._aside = sorted(item for item in line._aside if item[2] is not entry)
        shelf.processing[entry.id] = entry
        return claim
