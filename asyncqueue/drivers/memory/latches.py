"""The latches of a memory store: what they have counted, and whom they hold back."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from asyncqueue.drivers.latch_changes import already_there, not_joinable
from asyncqueue.drivers.latching import NOTHING, Effect, LatchState, new_latches
from asyncqueue.record import On

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.record import Counted, Latch, Record, State, Tally


class Latches:
    """All latches by id.

    ``let_go`` is called with the entries that are held back no longer, ``drop`` with those for
    which there will never be a reason.
    """

    def __init__(
        self, let_go: Callable[[Entry, float], None], drop: Callable[[Entry], None]
    ) -> None:
        self._let_go = let_go
        self._drop = drop
        self._states: dict[str, LatchState] = {}
        self._held: dict[str, dict[On, dict[str, Entry]]] = {}
        self._members: dict[str, dict[str, Entry]] = {}
        self._expiring: list[tuple[float, str]] = []

    def check(
        self, latches: Iterable[Latch], records: Iterable[Record], ending: Entry | None = None
    ) -> None:
        """Raise DriverError unless these can be stored together, after a member has ended."""
        new = {latch.id for latch in latches}
        for id in new & self._states.keys():
            raise already_there(id)
        for record in records:
            if record.latch is None or record.latch in new:
                continue
            state = self._states.get(record.latch)
            if state is None or state.opened_at is not None or _opens(state, ending):
                raise not_joinable(record, state)

    def add(self, latches: Iterable[Latch], now: float) -> None:
        """Store new ones."""
        for id, state in new_latches(latches, now).items():
            self._states[id] = state
            self._held[id] = {on: {} for on in On}
            self._members[id] = {}

    def join(self, entry: Entry, id: str) -> None:
        """An entry that was stored belongs to this latch from now on."""
        self._states[id].stored(entry.held, guards=entry.guards)
        if entry.held is None:
            self._members[id][entry.id] = entry
        else:
            self._held[id][entry.held][entry.id] = entry

    def calls_off(self, entry: Entry) -> bool:
        """Whether a member was called off."""
        state = self._states.get(entry.latch or "")
        return state is not None and state.called_off and entry.member and not entry.exempt

    def ended(self, entry: Entry, how: State, now: float) -> Counted | None:
        """An entry ended, or was removed before it did; answers what counts now for a member."""
        state = self._states.get(entry.latch or "")
        if state is None:
            return None
        if entry.held is not None:
            del self._held[state.id][entry.held][entry.id]
            state.unheld(entry.held, guards=entry.guards)
            entry.held = None
        elif entry.member:
            effect = state.member_ended(how, entry.error, now)
            self._apply(state, effect, now)
            return state.counted(effect)
        elif entry.guards:
            entry.guards = False
            self._apply(state, state.guard_ended(), now)
        return None

    def requeued(self, entry: Entry) -> None:
        """A failed entry waits again."""
        state = self._states.get(entry.latch or "")
        if state is not None and entry.member:
            state.member_requeued()

    def removed(self, entry: Entry) -> None:
        """Nothing is stored of an entry any more."""
        members = self._members.get(entry.latch or "")
        if members is not None:
            members.pop(entry.id, None)

    def members(self, id: str) -> list[Entry]:
        """The members of a latch in order of dispatch."""
        return sorted(self._members.get(id, {}).values(), key=lambda entry: entry.seq)

    def tallies(self, ids: Sequence[str] | None) -> list[Tally]:
        """What those that are known have counted, the newest first."""
        known = reversed(self._states.values())
        wanted = None if ids is None else set(ids)
        return [state.tally() for state in known if wanted is None or state.id in wanted]

    def call_off(self, ids: Iterable[str]) -> list[str]:
        """Answers those that were not called off before."""
        states = (self._states.get(id) for id in dict.fromkeys(ids))
        return [state.id for state in states if state is not None and state.call_off()]

    def forget(self, ids: Iterable[str]) -> int:
        """Forget latches with all that they hold back; answers how many."""
        known = [id for id in dict.fromkeys(ids) if self._states.pop(id, None) is not None]
        for id in known:
            del self._members[id]
            for entries in self._held.pop(id).values():
                for entry in entries.values():
                    self._drop(entry)
        return len(known)

    def expire(self, now: float) -> None:
        """Forget those whose retention is over."""
        while self._expiring and self._expiring[0][0] <= now:
            id = heappop(self._expiring)[1]
            state = self._states.get(id)
            if state is not None and state.expired(now):
                self.forget([id])

    def _apply(self, state: LatchState, effect: Effect, now: float) -> None:
        if effect is NOTHING:
            return
        held = self._held[state.id]
        for on in effect.drop:
            entries, held[on] = held[on], {}
            for entry in entries.values():
                self._drop(entry)
        for on in effect.let_go:
            entries, held[on] = held[on], {}
            for entry in entries.values():
                entry.held = None
                self._let_go(entry, now)
        if state.expires_at is not None:
            heappush(self._expiring, (state.expires_at, state.id))


def _opens(state: LatchState, ending: Entry | None) -> bool:
    """Whether a latch opens once this entry ends."""
    return ending is not None and ending.member and ending.latch == state.id and state.pending == 1
