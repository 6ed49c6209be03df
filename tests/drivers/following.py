"""A memory driver that claims what another driver has claimed, if it may do that."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.memory.fair import FairLine
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.drivers.memory.line import Line
    from asyncqueue.record import Claim, Source

    Key = str | None
    Place = tuple[str, int, int]
    """A queue, a priority, and a part of the store."""


class FollowingDriver(MemoryDriver):
    """Claims the jobs in ``chosen``: the most urgent ones, in turns, and of each key the oldest."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.chosen: list[str] = []
        self.parts: dict[str, int] = {}
        """In which part of the other store each job is."""
        self._served: dict[Place, dict[Key, set[Key]]] = defaultdict(dict)
        """Which keys had a turn since somebody of that one waits."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """Claim them, or fail."""
        store, now = self._store, self._store.now()
        self.look_who_waits()
        due = self._due(sources, now)
        entries = [store.entries[id] for id in self.chosen]
        levels = [due.get(entry.id) for entry in entries]
        assert levels == sorted(due.values())[: max(limit, 0)], "others are more urgent"
        claims: list[Claim] = []
        for entry in entries:
            older = [
                other
                for id, level in due.items()
                if level == due[entry.id]
                and self._line_of(other := store.entries[id]) == self._line_of(entry)
            ]
            assert older[0] is entry, "others of its key are older"
            self._take_turn(entry)
            del due[entry.id]
            claims.append(self._hand_out(entry, now, lease, worker))
            self.look_who_waits()
        claimed = Claimed(claims)
        if 0 < limit > len(entries):
            claimed.due_in = self._due_in(sources, now)
        return claimed

    def look_who_waits(self) -> None:
        """Whoever has nobody that is due waits for no turn."""
        now = self._store.now()
        due: dict[Place, set[Key]] = defaultdict(set)
        for shelf in self._store.shelves.values():
            for entry in _waiting(shelf._lines.values()):
                if entry.available_at <= now:
                    due[self._place_of(entry)].add(entry.fair)
        for place in {*due, *self._served}:
            before = self._served[place]
            self._served[place] = {key: before.get(key, set()) for key in due[place]}

    def _take_turn(self, entry: Entry) -> None:
        waiting = self._served[self._place_of(entry)]
        for key, served in waiting.items():
            if key != entry.fair:
                assert entry.fair not in served, f"it is the turn of {key!r}, not of {entry.fair!r}"
                served.add(entry.fair)
        waiting[entry.fair] = set()

    def _place_of(self, entry: Entry) -> Place:
        return (entry.queue, entry.priority, self.parts.get(entry.id, 0))

    def _line_of(self, entry: Entry) -> tuple[Place, Key]:
        return self._place_of(entry), entry.fair

    def _due(self, sources: Sequence[Source], now: float) -> dict[str, tuple[int, int]]:
        """Who is due, in order, and how urgent each is."""
        due: dict[str, tuple[int, int]] = {}
        for index, source in enumerate(sources):
            shelf = self._store.shelves.get(source.queue)
            if shelf is None or source.queue in self._store.paused:
                continue
            entries = _waiting(shelf.lines(source))
            for entry in sorted(entries, key=lambda one: (one.available_at, one.seq)):
                if entry.available_at <= now:
                    due.setdefault(entry.id, (index, -entry.priority))
        return due

    def _hand_out(self, entry: Entry, now: float, lease: float, worker: str) -> Claim:
        claim = self._store.hand_out(entry, now, now + lease, worker)
        self._store.first_lease = min(self._store.first_lease, now + lease)
        shelf = self._store.shelves[entry.queue]
        line = shelf.line(entry.priority)
        if isinstance(line, FairLine):
            own = line._lines[entry.fair]
            _remove(own, entry)
            line._close_if_empty(entry.fair, own)
        else:
            _remove(line, entry)
        shelf.processing[entry.id] = entry
        return claim


def _waiting(lines: Iterable[Line]) -> list[Entry]:
    return [entry for line in lines for entry in line]


def _remove(line: Line, entry: Entry) -> None:
    """Not by a gap: this entry may come back."""
    line._row = deque(one for one in line._row if one is not entry)
    line._aside = sorted(item for item in line._aside if item[2] is not entry)
