"""Ending claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncqueue.drivers.sqlite.states import CODES, DELAYED, READY
from asyncqueue.drivers.sqlite.store import listed
from asyncqueue.record import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Settlement

RETURNS = (State.PENDING, State.DELAYED)


class Held(NamedTuple):
    """The row of a claim that is still held."""

    seq: int
    queue: str
    cancel_keep: float | None


def check(settlements: Sequence[Settlement]) -> None:
    """Raise for a state that no claim can end in."""
    for settlement in settlements:
        if settlement.state not in CODES or settlement.state is State.PROCESSING:
            raise ValueError(f"A claim cannot be settled as {settlement.state!r}.")


def settle(store: Store, settlements: Sequence[Settlement]) -> list[bool]:
    """End those claims that are still held; answers which were."""
    if _complete_all(store, settlements):
        return [True] * len(settlements)
    held = look_up(store, (settlement.id for settlement in settlements))
    # A claim that is settled twice in one call is ended by the first.
    rows = [held.pop((settlement.id, settlement.token), None) for settlement in settlements]
    ended = [(s, row) for s, row in zip(settlements, rows, strict=True) if row is not None]
    returned = [pair for pair in ended if _returns(*pair)]
    _put_back(store, returned)
    _finish(store, [pair for pair in ended if not _returns(*pair)])
    return [row is not None for row in rows]


def _complete_all(store: Store, settlements: Sequence[Settlement]) -> bool:
    """The usual case, in half the time: changes all or, if one is not held, none."""
    if any(s.state is not State.COMPLETED or s.retention <= 0 for s in settlements):
        return False
    store.change("settle.try")
    rows = [_completed_row(settlement, store.now) for settlement in settlements]
    completed = store.change_bulk("settle.complete", rows)
    if completed < len(settlements):
        store.change("settle.undo")
    store.change("settle.keep")
    if completed < len(settlements):
        return False
    store.ring("job", (settlement.id for settlement in settlements))
    return True


def _completed_row(settlement: Settlement, now: float) -> Row:
    return (
        settlement.id,
        settlement.token,
        settlement.attempts,
        settlement.exceptions,
        now,
        now + settlement.retention,
        settlement.result,
        settlement.error,
        settlement.traceback,
    )


def look_up(store: Store, ids: Iterable[str]) -> dict[tuple[str, int], Held]:
    """The held claims of these jobs, by id and token."""
    rows = store.rows("settle.held", (listed(ids),))
    return {(id, token): Held(seq, queue, keep) for id, token, seq, queue, keep in rows}


def remove(store: Store, seqs: Sequence[int]) -> None:
    """Remove live rows."""
    if seqs:
        store.change("settle.remove", (listed(seqs),))


def _returns(settlement: Settlement, held: Held) -> bool:
    # What was to be cancelled must not run again.
    return settlement.state in RETURNS and held.cancel_keep is None


def _put_back(store: Store, returned: Sequence[tuple[Settlement, Held]]) -> None:
    rows = [_returned_row(settlement, held, store.now) for settlement, held in returned]
    store.change_bulk("settle.give_back", rows)
    store.ring("queue", {held.queue for _, held in returned})


def _returned_row(settlement: Settlement, held: Held, now: float) -> Row:
    later = settlement.state is State.DELAYED
    return (
        held.seq,
        DELAYED if later and settlement.delay > 0 else READY,
        settlement.attempts,
        settlement.exceptions,
        now + max(0.0, settlement.delay) if later else None,
        settlement.result,
        settlement.error,
        settlement.traceback,
    )


def _finish(store: Store, ended: Sequence[tuple[Settlement, Held]]) -> None:
    kept: list[Row] = []
    moved: list[int] = []
    removed: list[int] = []
    for settlement, held in ended:
        state, keep = _ending(settlement, held)
        if state is not State.FAILED and keep <= 0:
            removed.append(held.seq)
            continue
        if state is State.FAILED:
            moved.append(held.seq)
        kept.append(_finished_row(settlement, held.seq, state, store.now, keep))
    store.change_bulk("settle.finish", kept)
    _move_failed(store, moved)
    remove(store, removed)
    store.ring("job", (settlement.id for settlement, _ in ended))


def _ending(settlement: Settlement, held: Held) -> tuple[State, float]:
    """The final state, and the seconds for which to keep the record."""
    if settlement.state in RETURNS:
        return State.CANCELLED, held.cancel_keep or 0.0
    return settlement.state, settlement.retention


def _finished_row(settlement: Settlement, seq: int, state: State, now: float, keep: float) -> Row:
    return (
        seq,
        CODES[state],
        settlement.attempts,
        settlement.exceptions,
        now,
        now + keep,
        settlement.result,
        settlement.error,
        settlement.traceback,
    )


def _move_failed(store: Store, seqs: Sequence[int]) -> None:
    if seqs:
        store.change("settle.move", (listed(seqs),))
        remove(store, seqs)
