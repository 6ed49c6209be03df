"""The latches that one call is about: what they count, and whom they let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.latching import LatchState, new_latches
from asyncqueue.drivers.sqlite.states import (
    EXEMPT,
    GUARDS,
    HELD_BY,
    HELD_PARTS,
    MEMBER,
)
from asyncqueue.drivers.sqlite.store import listed
from asyncqueue.errors import DriverError
from asyncqueue.record import On, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.latching import Effect
    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Counted, Latch, Record, Tally

FORGOTTEN_AT_ONCE: Final = 1000
"""Bounds the time for which other processes must wait."""


class Part(NamedTuple):
    """What a job that has a latch is to it."""

    latch: str
    member: bool
    guards: bool
    held: On | None


class Latches:
    """Reads the states of latches, applies the rules to them, and writes what came of it.

    For one call, within its transaction: nobody else changes them meanwhile.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states: dict[str, LatchState | None] = {}
        self._new: dict[str, LatchState] = {}
        self._changed: dict[str, LatchState] = {}
        self._let_go: dict[tuple[str, On], None] = {}
        self._dropped: dict[tuple[str, On], None] = {}

    def read(self, ids: Iterable[str]) -> None:
        """Get to know these; must come before anything that concerns them."""
        missing = dict.fromkeys(id for id in ids if id not in self._states)
        if missing:
            self._states |= missing
            query = {"ids": listed(missing), "now": self._store.now}
            self._states |= {row[0]: _state(row) for row in self._store.rows("latches.read", query)}

    def add(self, latches: Sequence[Latch], now: float) -> None:
        """Store new ones. Raises DriverError where an id is taken."""
        self.read(latch.id for latch in latches)
        for latch in latches:
            if self._states[latch.id] is not None:
                raise DriverError(
                    f"Latch {latch.id!r} exists already; give every one an id of its own."
                )
        self._new = new_latches(latches, now)
        self._states |= self._new

    def admit(self, records: Iterable[Record]) -> None:
        """Raise DriverError unless all of these may join the latches that they name."""
        joining = {record.latch: record for record in records if record.latch is not None}
        self.read(joining)
        for id, record in joining.items():
            state = self._states[id]
            if state is None or state.opened_at is not None:
                raise DriverError(
                    f"Job {record.id!r} cannot join latch {id!r}, which "
                    f"{'is unknown' if state is None else 'has opened'}; give it a new one."
                )

    def joined(self, record: Record) -> None:
        """A record that was admitted is stored."""
        state = self._changing(record.latch)
        if state is not None:
            state.stored(record.held, guards=record.guards)

    def parts(self, seqs: Iterable[int]) -> dict[int, Part]:
        """By row what they are to their latches; those that have none are left out."""
        return self.known(self._store.rows("latches.parts", (listed(seqs),)))

    def known(self, rows: Iterable[Row]) -> dict[int, Part]:
        """The same of rows (seq, latch, part) that were read already."""
        parts = {
            seq: Part(latch, part in (MEMBER, EXEMPT), part in GUARDS, HELD_BY.get(part))
            for seq, latch, part in rows
            if latch is not None
        }
        self.read({part.latch for part in parts.values()})
        return parts

    def ended(self, job: Part, how: State, error: str | None = None) -> Counted | None:
        """A job ended, or was removed before it did; answers what counts now for a member."""
        state = self._changing(job.latch)
        if state is None:
            return None
        if job.held is not None and (job.latch, job.held) not in self._let_go:
            state.unheld(job.held, guards=job.guards)
        elif job.member:
            effect = state.member_ended(how, error, self._store.now)
            self._note(state.id, effect)
            return state.counted(effect)
        elif job.guards:
            self._note(state.id, state.guard_ended())
        return None

    def removed(self, rows: Iterable[Row]) -> set[int]:
        """Rows that wait are removed or cancelled, as in :meth:`known`, the newest first.

        Answers which of them were gone before it was their turn: dropped for one before them.
        """
        parts = sorted(self.known(rows).items(), reverse=True)
        gone: set[int] = set()
        for seq, part in parts:
            if self._drops(part):
                gone.add(seq)
            else:
                self.ended(part, State.CANCELLED)
        return gone

    def requeued(self, latches: Sequence[str]) -> None:
        """For each of these a failed member waits again."""
        self.read(latches)
        for latch in latches:
            state = self._changing(latch)
            if state is not None:
                state.member_requeued()

    def call_off(self, ids: Sequence[str]) -> list[str]:
        """Answers those that were not called off before."""
        self.read(ids)
        states = (self._changing(id) for id in dict.fromkeys(ids))
        return [state.id for state in states if state is not None and state.call_off()]

    def write(self) -> None:
        """Store what came of it, let go of jobs and drop jobs."""
        self._write_states()
        for latch, on in self._let_go:
            held = _held(latch, on) | {"now": self._store.now}
            rows = self._store.rows("latches.let_go", held)
            self._store.ring("queue", {queue for (queue,) in rows})
        # Afterwards: the end of a latch drops whoever was not let go, in this call either.
        for latch, on in self._dropped:
            rows = self._store.rows("latches.drop", _held(latch, on))
            self._store.ring("job", (id for (id,) in rows))

    def _write_states(self) -> None:
        if self._new:
            # Those past their retention make room for new ones of the same id.
            old = {"ids": listed(self._new), "now": self._store.now}
            self._store.change("latches.clear", old)
            new = [
                (*_counts(s), s.data, s.breaks, s.retention, s.created_at)
                for s in self._new.values()
            ]
            self._store.change_bulk("latches.insert", new)
        changed = [_counts(state) for id, state in self._changed.items() if id not in self._new]
        self._store.change_bulk("latches.write", changed)

    def _drops(self, job: Part) -> bool:
        return job.held is not None and (job.latch, job.held) in self._dropped

    def _changing(self, id: str | None) -> LatchState | None:
        state = None if id is None else self._states[id]
        if state is not None:
            self._changed[state.id] = state
        return state

    def _note(self, latch: str, effect: Effect) -> None:
        self._let_go |= {(latch, on): None for on in effect.let_go}
        self._dropped |= {(latch, on): None for on in effect.drop}


def tallies(store: Store, ids: Sequence[str] | None) -> list[Tally]:
    """What those that are known have counted, the newest first."""
    if ids is None:
        rows = store.rows("latches.all", {"now": store.now})
    else:
        rows = store.rows("latches.read", {"ids": listed(ids), "now": store.now})
    return [_state(row).tally() for row in rows]


def call_off(store: Store, ids: Sequence[str]) -> list[str]:
    """Call latches off; answers those that were not called off before."""
    latches = Latches(store)
    answer = latches.call_off(ids)
    latches.write()
    return answer


def forget(store: Store, ids: Sequence[str]) -> int:
    """Remove latches with all that they hold back; answers how many."""
    rows = store.rows("latches.drop_all", (listed(ids),))
    store.ring("job", (id for (id,) in rows))
    return store.change("latches.forget", {"ids": listed(ids), "now": store.now})


def prune(store: Store) -> int:
    """Forget some of those past their retention; fewer than the most at once if none are left."""
    return store.change("latches.prune", {"now": store.now, "room": FORGOTTEN_AT_ONCE})


def _held(latch: str, on: On) -> dict[str, object]:
    return {"latch": latch, "plain": HELD_PARTS[on, False], "guard": HELD_PARTS[on, True]}


def _state(row: Row) -> LatchState:
    (id, data, breaks, retention, created_at, total, completed, failed, skipped, guards,
     success_guards, failure_guards, called_off, broken, ended, error, opened_at) = row  # fmt: skip
    return LatchState(
        id=id,
        data=data,
        breaks=bool(breaks),
        retention=retention,
        created_at=created_at,
        total=total,
        completed=completed,
        failed=failed,
        skipped=skipped,
        guards=guards,
        success_guards=success_guards,
        failure_guards=failure_guards,
        called_off=bool(called_off),
        broken=bool(broken),
        ended=bool(ended),
        error=error,
        opened_at=opened_at,
    )


def _counts(state: LatchState) -> Row:
    over = None
    if state.ended and state.opened_at is not None:
        over = state.opened_at + state.retention
    return (
        state.id,
        state.total,
        state.completed,
        state.failed,
        state.skipped,
        state.guards,
        state.success_guards,
        state.failure_guards,
        state.called_off,
        state.broken,
        state.ended,
        state.error,
        state.opened_at,
        over,
    )
