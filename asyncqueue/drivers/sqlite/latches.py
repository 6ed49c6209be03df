"""The latches that one call is about: read, changed and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.latch_changes import LatchChanges, Part, already_there
from asyncqueue.drivers.latching import LatchState
from asyncqueue.drivers.sqlite.states import EXEMPT, GUARDS, HELD_BY, HELD_PARTS, MEMBER
from asyncqueue.drivers.sqlite.store import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Latch, On, Record, Tally

FORGOTTEN_AT_ONCE: Final = 1000
"""Bounds the time for which other processes must wait."""


class Latches(LatchChanges):
    """Reads latches before they are asked about, and writes what came of it.

    For one call, within its transaction: nobody else changes them meanwhile.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store.now)
        self._store = store
        self._read: set[str] = set()

    def read(self, ids: Iterable[str]) -> None:
        """Get to know these; must come before anything that concerns them."""
        missing = set(ids) - self._read
        if missing:
            self._read |= missing
            query = {"ids": listed(missing), "now": self._store.now}
            states = _readable(self._store.rows("latches.read", query))
            self.known |= {state.id: state for state in states}

    def add(self, latches: Iterable[Latch], now: float) -> None:
        """Store new ones. Raises DriverError where an id is taken."""
        ids = [latch.id for latch in latches]
        self.read(ids)
        for id in ids:
            if id in self.known:
                raise already_there(id)
        super().add(latches, now)

    def admit(self, records: Iterable[Record]) -> None:
        """See :meth:`asyncqueue.drivers.latch_changes.LatchChanges.admit`."""
        joining = [record for record in records if record.latch is not None]
        self.read({record.latch for record in joining if record.latch is not None})
        super().admit(joining)

    def parts(self, seqs: Iterable[int]) -> dict[int, Part]:
        """By row what they are to their latches; those that have none are left out."""
        return self._parts(self._store.rows("latches.parts", (listed(seqs),)))

    def _parts(self, rows: Iterable[Row]) -> dict[int, Part]:
        """The same of rows (seq, latch, part) that were read already."""
        parts = {
            seq: Part(latch, part in (MEMBER, EXEMPT), part in GUARDS, HELD_BY.get(part))
            for seq, latch, part in rows
            if latch is not None
        }
        self.read({part.latch for part in parts.values()})
        return parts

    def removed(self, rows: Iterable[Row]) -> set[int]:
        """Rows (seq, latch, part) that wait are removed or cancelled.

        Answers which were gone before it was their turn.
        """
        return self.all_removed(self._parts(rows).items())

    def requeued(self, latches: Iterable[str]) -> None:
        """See :meth:`asyncqueue.drivers.latch_changes.LatchChanges.requeued`."""
        known = list(latches)
        self.read(known)
        super().requeued(known)

    def call_off(self, ids: Iterable[str]) -> list[str]:
        """See :meth:`asyncqueue.drivers.latch_changes.LatchChanges.call_off`."""
        known = list(ids)
        self.read(known)
        return super().call_off(known)

    def write(self) -> None:
        """Store what came of it, let go of jobs and drop jobs."""
        self._write_states()
        for latch, on in self.let_go:
            held = _held(latch, on) | {"now": self._store.now}
            rows = self._store.rows("latches.let_go", held)
            self._store.ring("queue", {queue for (queue,) in rows})
        for latch, on in self.dropped:
            rows = self._store.rows("latches.drop", _held(latch, on))
            self._store.ring("job", (id for (id,) in rows))

    def _write_states(self) -> None:
        if self.new:
            # Those past their retention make room for new ones of the same id.
            old = {"ids": listed(self.new), "now": self._store.now}
            self._store.change("latches.clear", old)
            new = [
                (*_counts(s), s.data, s.breaks, s.retention, s.created_at)
                for s in self.new.values()
            ]
            self._store.change_bulk("latches.insert", new)
        self._store.change_bulk("latches.write", [_counts(s) for s in self.changed.values()])


def tallies(store: Store, ids: Sequence[str] | None) -> list[Tally]:
    """What those that are known have counted, the newest first."""
    if ids is None:
        rows = store.rows("latches.all", {"now": store.now})
    else:
        rows = store.rows("latches.read", {"ids": listed(ids), "now": store.now})
    return [state.tally() for state in _readable(rows)]


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


def _readable(rows: Iterable[Row]) -> list[LatchState]:
    """Latches as they are kept; one that was damaged is as good as forgotten."""
    states = [_state(row) for row in rows if _is_latch(row)]
    return [state for state in states if state.plausible]


def _is_latch(row: Row) -> bool:
    id, data, _, retention, created_at, *counts, called_off, broken, ended, error, opened_at = row
    numbers = (retention, created_at, *counts, called_off, broken, ended)
    return (
        isinstance(id, str)
        and isinstance(data, bytes)
        and all(isinstance(number, int | float) for number in numbers)
        and isinstance(error, str | None)
        and isinstance(opened_at, int | float | None)
    )


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
        state.expires_at,
    )
