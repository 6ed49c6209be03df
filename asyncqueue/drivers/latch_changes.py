"""What one call does to latches, for drivers that read them, change them and write them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncqueue.drivers.latching import LatchState, new_latches
from asyncqueue.errors import DriverError
from asyncqueue.record import On, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.drivers.latching import Effect
    from asyncqueue.record import Counted, Latch, Record


class Part(NamedTuple):
    """What a job that has a latch is to it."""

    latch: str
    member: bool
    guards: bool
    held: On | None


class LatchChanges:
    """The latches that one call is about, and whom they let go of.

    A driver puts what it has read into ``known`` and gives ``now`` by the store's clock. In the
    same step it stores ``new`` and ``changed``, then lets go of the jobs in ``let_go``, and drops
    those in ``dropped`` only afterwards: the end of a latch drops whoever was not let go of.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.known: dict[str, LatchState] = {}
        self.new: dict[str, LatchState] = {}
        self.changed: dict[str, LatchState] = {}
        self.let_go: dict[tuple[str, On], None] = {}
        self.dropped: dict[tuple[str, On], None] = {}

    def add(self, latches: Iterable[Latch], now: float) -> None:
        """Store new ones."""
        new = new_latches(latches, now)
        self.new |= new
        self.known |= new

    def admit(self, records: Iterable[Record]) -> None:
        """Raise DriverError unless all of these may join the latches that they name."""
        for record in records:
            if record.latch is not None:
                state = self.known.get(record.latch)
                if state is None or state.opened_at is not None:
                    raise not_joinable(record, state)

    def joined(self, record: Record) -> None:
        """A record that was admitted is stored."""
        state = self._changing(record.latch)
        if state is not None:
            state.stored(record.held, guards=record.guards)

    def ended(self, job: Part, how: State, error: str | None = None) -> Counted | None:
        """A job ended, or was removed before it did; answers what counts now for a member."""
        state = self._changing(job.latch)
        if state is None:
            return None
        if job.held is not None and (job.latch, job.held) not in self.let_go:
            state.unheld(job.held, guards=job.guards)
        elif job.member:
            effect = state.member_ended(how, error, self.now)
            self._note(state.id, effect)
            return state.counted(effect)
        elif job.guards:
            self._note(state.id, state.guard_ended())
        return None

    def written(self) -> None:
        """All of it is stored: what comes now is to be stored beside it."""
        self.new, self.changed, self.let_go, self.dropped = {}, {}, {}, {}

    def all_removed(self, parts: Iterable[tuple[int, Part]]) -> set[int]:
        """Jobs that waited are removed or cancelled, those dispatched last before the others.

        Answers which of them were gone before it was their turn: dropped for one before them.
        """
        gone: set[int] = set()
        for seq, part in sorted(parts, reverse=True):
            if part.held is not None and (part.latch, part.held) in self.dropped:
                gone.add(seq)
            else:
                self.ended(part, State.CANCELLED)
        return gone

    def requeued(self, latches: Iterable[str]) -> None:
        """For each of these a failed member waits again."""
        for latch in latches:
            state = self._changing(latch)
            if state is not None:
                state.member_requeued()

    def call_off(self, ids: Iterable[str]) -> list[str]:
        """Call these off; answers those that were not called off before."""
        called_off: list[str] = []
        for id in dict.fromkeys(ids):
            state = self.known.get(id)
            if state is not None and state.call_off():
                self._changing(id)
                called_off.append(id)
        return called_off

    def _changing(self, id: str | None) -> LatchState | None:
        state = self.known.get(id or "")
        if state is not None and state.id not in self.new:
            self.changed[state.id] = state
        return state

    def _note(self, latch: str, effect: Effect) -> None:
        self.let_go |= {(latch, on): None for on in effect.let_go}
        self.dropped |= {(latch, on): None for on in effect.drop}


def not_joinable(record: Record, state: LatchState | None) -> DriverError:
    """What to raise for a record whose latch is unknown or has opened."""
    return DriverError(
        f"Job {record.id!r} cannot join latch {record.latch!r}, which "
        f"{'is unknown' if state is None else 'has opened'}; give it a new one."
    )


def already_there(id: str) -> DriverError:
    """What to raise for a new latch whose id is taken."""
    return DriverError(f"Latch {id!r} exists already; give every one an id of its own.")
