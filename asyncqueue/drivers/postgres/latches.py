"""The latches that one call is about: locked, changed and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.latch_changes import LatchChanges, Part, already_there
from asyncqueue.drivers.latching import LatchState
from asyncqueue.drivers.postgres.states import EXEMPT, GUARD, MEMBER, ONS, REASONS
from asyncqueue.drivers.postgres.store import column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import On, Tally


class Latches(LatchChanges):
    """Locks latches, and writes what came of it.

    For one transaction, which must lock them before it locks anything else. Where the id of a new
    one is taken is found when it is written.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    async def lock(self, ids: Iterable[str | None]) -> None:
        """Get to know these, as nobody else may change them from now on."""
        wanted = sorted({id for id in ids if id is not None})
        if wanted:
            for *values, now in await self._store.rows("latches.lock", ids=wanted):
                state = LatchState(*values)
                if state.plausible:  # One that was damaged is as good as forgotten.
                    self.known[state.id] = state
                self.now = now

    async def removed(self, rows: Iterable[Row]) -> None:
        """Rows (seq, latch, part, held) that waited, and that are locked, are removed or cancelled.

        Those that are dropped before it is their turn are gone.
        """
        gone = self.all_removed(
            (seq, part_of(latch, part, held)) for seq, latch, part, held in rows if latch
        )
        if gone:
            await self._store.change("latches.remove", seqs=sorted(gone))

    async def write(self) -> None:
        """Store what came of it so far, let go of jobs and drop jobs."""
        await self._insert()
        if self.changed:
            changed = list(self.changed.values())
            await self._store.change("latches.write", **_counts(changed))
        if self.let_go:
            rows = await self._store.rows("latches.let_go", **_reasons(self.let_go))
            self._store.ring("queue", {queue for (queue,) in rows})
        if self.dropped:
            rows = await self._store.rows("latches.drop", **_reasons(self.dropped))
            self._store.ring("job", [id for (id,) in rows])
        self.written()

    async def _insert(self) -> None:
        if not self.new:
            return
        stored = await self._store.rows("latches.insert", **_beginnings(self.new.values()))
        taken = self.new.keys() - {id for (id,) in stored}
        if taken:
            raise already_there(min(taken))


def part_of(latch: str, part: int | None, held: int | None = None) -> Part:
    """What a job is to its latch, as it is stored."""
    return Part(latch, part in (MEMBER, EXEMPT), part == GUARD, ONS.get(held or 0))


async def locked(store: Store, ids: Iterable[str | None]) -> Latches:
    """These latches, locked until the end of the transaction."""
    latches = Latches(store)
    await latches.lock(ids)
    return latches


async def tallies(store: Store, ids: Sequence[str] | None) -> list[Tally]:
    """What those that are known have counted, the newest first."""
    rows = await store.rows("latches.read", ids=None if ids is None else list(ids))
    return [LatchState(*row).tally() for row in rows]


async def call_off(store: Store, ids: Sequence[str]) -> list[str]:
    """Call latches off; answers those that were not called off before."""
    latches = await locked(store, ids)
    called_off = latches.call_off(ids)
    await latches.write()
    return called_off


async def forget(store: Store, ids: Sequence[str]) -> int:
    """Remove latches with all that they hold back; answers how many."""
    await locked(store, ids)
    rows = await store.rows("latches.drop_all", latches=list(ids))
    store.ring("job", [id for (id,) in rows])
    return await store.change("latches.forget", ids=list(ids))


def _reasons(pairs: Mapping[tuple[str, On], None]) -> dict[str, Any]:
    return {"latches": [latch for latch, _ in pairs], "held": [REASONS[on] for _, on in pairs]}


def _beginnings(states: Iterable[LatchState]) -> dict[str, Any]:
    new = list(states)
    return {
        "ids": [state.id for state in new],
        "data": [state.data for state in new],
        "breaks": [state.breaks for state in new],
        "retentions": [state.retention for state in new],
        **_held_and_total(new),
    }


def _counts(states: Sequence[LatchState]) -> dict[str, Any]:
    return {
        "ids": [state.id for state in states],
        "completed": [state.completed for state in states],
        "failed": [state.failed for state in states],
        "skipped": [state.skipped for state in states],
        "guards": [state.guards for state in states],
        "called_off": [state.called_off for state in states],
        "broken": [state.broken for state in states],
        "ended": [state.ended for state in states],
        "errors": column([state.error for state in states]),
        "opened_at": column([state.opened_at for state in states]),
        "expires_at": column([state.expires_at for state in states]),
        **_held_and_total(states),
    }


def _held_and_total(states: Sequence[LatchState]) -> dict[str, Any]:
    return {
        "totals": [state.total for state in states],
        "success_guards": [state.success_guards for state in states],
        "failure_guards": [state.failure_guards for state in states],
    }
