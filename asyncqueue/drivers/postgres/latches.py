"""The latches that one call is about: what they count, and whom they let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from asyncqueue.drivers.latching import LatchState, new_latches
from asyncqueue.drivers.postgres.states import EXEMPT, GUARD, MEMBER, ONS, REASONS
from asyncqueue.drivers.postgres.store import column
from asyncqueue.errors import DriverError
from asyncqueue.record import On, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncqueue.drivers.latching import Effect
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import Counted, Latch, Record, Tally


class Part(NamedTuple):
    """What a job that has a latch is to it, and its place in the order of dispatch."""

    seq: int
    latch: str
    part: int | None
    held: int | None


class Latches:
    """Applies the rules to the latches that it has locked, and writes what came of it.

    For one transaction, which must lock them before it locks anything else.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._now = 0.0
        self._states: dict[str, LatchState] = {}
        self._new: dict[str, LatchState] = {}
        self._changed: dict[str, LatchState] = {}
        self._let_go: dict[tuple[str, On], None] = {}
        self._dropped: dict[tuple[str, On], None] = {}

    async def lock(self, ids: Iterable[str | None]) -> None:
        """Get to know these, as nobody else may change them from now on."""
        wanted = sorted({id for id in ids if id is not None})
        if wanted:
            for *state, now in await self._store.rows("latches.lock", ids=wanted):
                self._states[state[0]] = LatchState(*state)
                self._now = now

    def add(self, latches: Iterable[Latch]) -> None:
        """Store new ones; where an id is taken is found when they are written."""
        new = new_latches(latches, self._now)
        self._new |= new
        self._states |= new

    def admit(self, records: Iterable[Record]) -> None:
        """Raise DriverError unless all of these may join the latches that they name."""
        for record in records:
            state = self._states.get(record.latch or "")
            if record.latch is not None and (state is None or state.opened_at is not None):
                raise DriverError(
                    f"Job {record.id!r} cannot join latch {record.latch!r}, which "
                    f"{'is unknown' if state is None else 'has opened'}; give it a new one."
                )

    def joined(self, records: Iterable[tuple[Record, str | None]]) -> None:
        """Those of the admitted records whose answer is None were stored."""
        for record, other in records:
            if record.latch is not None and other is None:
                state = self._states[record.latch]
                state.stored(record.held, guards=record.guards)
                if record.latch not in self._new:
                    self._changed[record.latch] = state

    def ended(self, job: Part, how: State, error: str | None = None) -> Counted | None:
        """A job ended, or was removed before it did; answers what counts now for a member."""
        state = self._changing(job.latch)
        if state is None:
            return None
        on = None if job.held is None else ONS[job.held]
        if on is not None and (job.latch, on) not in self._let_go:
            state.unheld(on, guards=job.part == GUARD)
        elif job.part in (MEMBER, EXEMPT):
            effect = state.member_ended(how, error, self._now)
            self._note(state.id, effect)
            return state.counted(effect)
        elif job.part == GUARD:
            self._note(state.id, state.guard_ended())
        return None

    async def removed(self, jobs: Iterable[Part]) -> None:
        """Jobs that waited, and that the caller has locked, are removed or cancelled.

        The newest come first; those that are dropped before it is their turn are gone.
        """
        gone: list[int] = []
        for job in sorted(jobs, reverse=True):
            if job.held is not None and (job.latch, ONS[job.held]) in self._dropped:
                gone.append(job.seq)
            else:
                self.ended(job, State.CANCELLED)
        if gone:
            await self._store.change("latches.remove", seqs=gone)

    def requeued(self, latches: Iterable[str]) -> None:
        """For each of these a failed member waits again."""
        for latch in latches:
            state = self._changing(latch)
            if state is not None:
                state.member_requeued()

    def call_off(self) -> list[str]:
        """Call all of them off; answers those that were not called off before."""
        return [
            state.id
            for state in self._states.values()
            if state.call_off() and self._changing(state.id) is state
        ]

    async def write(self) -> None:
        """Store what came of it, let go of jobs and drop jobs."""
        await self._insert()
        if self._changed:
            changed = list(self._changed.values())
            await self._store.change("latches.write", **_counts(changed))
        if self._let_go:
            rows = await self._store.rows("latches.let_go", **_reasons(self._let_go))
            self._store.ring("queue", {queue for (queue,) in rows})
        # Afterwards: the end of a latch drops whoever was not let go, in this call either.
        if self._dropped:
            rows = await self._store.rows("latches.drop", **_reasons(self._dropped))
            self._store.ring("job", [id for (id,) in rows])

    async def _insert(self) -> None:
        if not self._new:
            return
        stored = await self._store.rows("latches.insert", **_beginnings(self._new.values()))
        taken = self._new.keys() - {id for (id,) in stored}
        if taken:
            raise DriverError(
                f"Latch {min(taken)!r} exists already; give every one an id of its own."
            )

    def _changing(self, id: str | None) -> LatchState | None:
        state = self._states.get(id or "")
        if state is not None:
            self._changed[state.id] = state
        return state

    def _note(self, latch: str, effect: Effect) -> None:
        self._let_go |= {(latch, on): None for on in effect.let_go}
        self._dropped |= {(latch, on): None for on in effect.drop}


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
    called_off = set(latches.call_off())
    await latches.write()
    return [id for id in dict.fromkeys(ids) if id in called_off]


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
        "totals": [state.total for state in new],
        "success_guards": [state.success_guards for state in new],
        "failure_guards": [state.failure_guards for state in new],
    }


def _counts(states: Sequence[LatchState]) -> dict[str, Any]:
    return {
        "ids": [state.id for state in states],
        "totals": [state.total for state in states],
        "completed": [state.completed for state in states],
        "failed": [state.failed for state in states],
        "skipped": [state.skipped for state in states],
        "guards": [state.guards for state in states],
        "success_guards": [state.success_guards for state in states],
        "failure_guards": [state.failure_guards for state in states],
        "called_off": [state.called_off for state in states],
        "broken": [state.broken for state in states],
        "ended": [state.ended for state in states],
        "errors": column([state.error for state in states]),
        "opened_at": column([state.opened_at for state in states]),
        "expires_at": column([_over(state) for state in states]),
    }


def _over(state: LatchState) -> float | None:
    if not state.ended or state.opened_at is None:
        return None
    return state.opened_at + state.retention
