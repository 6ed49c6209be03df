"""Ending claims of jobs that nothing else depends on, and the steps that all claims end with."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from asyncqueue.drivers.sqlite import limits
from asyncqueue.drivers.sqlite.states import CODES, DELAYED, READY
from asyncqueue.drivers.sqlite.store import listed
from asyncqueue.record import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Settlement

RETURNS: Final = (State.PENDING, State.DELAYED)
ID: Final = itemgetter(0)
LIMITS: Final = itemgetter(1)
COMPLETED: Final = State.COMPLETED
"""Read as a global in hot loops: looking a member up in its enum class takes longer."""


class Held(NamedTuple):
    """The row of a claim that is still held."""

    seq: int
    queue: str
    cancel_keep: float | None
    limits: str | None


def end_plainly(store: Store, settlements: Sequence[Settlement]) -> list[bool]:
    """End those claims that are still held; answers which were."""
    usual = [settlement for settlement in settlements if _is_usual(settlement)]
    if len({settlement.id for settlement in settlements}) < len(settlements):
        usual = []  # A claim that is settled twice in one call is ended by the first.
    completed = _complete(store, usual)
    if len(usual) == len(settlements):
        return [settlement.id in completed for settlement in settlements]
    rest = settlements if not usual else [s for s in settlements if not _is_usual(s)]
    held = look_up(store, (settlement.id for settlement in rest))
    rows = [held.pop((settlement.id, settlement.token), None) for settlement in rest]
    ended = [(s, row) for s, row in zip(rest, rows, strict=True) if row is not None]
    end_held(store, ended)
    if not usual:
        return [row is not None for row in rows]
    completed.update(settlement.id for settlement, _ in ended)
    return [settlement.id in completed for settlement in settlements]


def end_held(store: Store, ended: Sequence[tuple[Settlement, Held]]) -> None:
    """End claims that are held."""
    _put_back(store, [pair for pair in ended if _returns(*pair)])
    _finish(store, [pair for pair in ended if not _returns(*pair)])
    limits.ended(store, [(settlement.id, held.limits) for settlement, held in ended])


def _is_usual(settlement: Settlement) -> bool:
    """Whether it says no more than that the job completed, which takes a third of the time."""
    return (
        settlement.state is COMPLETED
        and settlement.result is None
        and settlement.error is None
        and settlement.traceback is None
    )


def _complete(store: Store, settlements: Iterable[Settlement]) -> set[str]:
    """Complete those that are held; answers which were."""
    alike: dict[tuple[int, int, float], dict[str, int]] = {}
    for s in settlements:
        alike.setdefault((s.attempts, s.exceptions, s.retention), {})[s.id] = s.token
    rows: list[Row] = []
    for (attempts, exceptions, retention), tokens in alike.items():
        changes = {
            "tokens": msgspec.json.encode(tokens).decode(),
            "attempts": attempts,
            "exceptions": exceptions,
            "now": store.now,
            "until": store.now + retention,
        }
        statement = "settle.complete" if retention > 0 else "settle.discard"
        rows += store.rows(statement, changes)
    completed = set(map(ID, rows))
    if any(map(LIMITS, rows)):
        limits.ended(store, rows)
    store.ring("job", completed)
    return completed


def look_up(store: Store, ids: Iterable[str]) -> dict[tuple[str, int], Held]:
    """The held claims of these jobs, by id and token."""
    rows = store.rows("settle.held", (listed(ids),))
    return {(id, token): Held(*rest) for id, token, *rest in rows}


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


def final_state(settlement: Settlement, held: Held) -> State | None:
    """The state in which a claim ends for good; None where its job waits again."""
    return None if _returns(settlement, held) else _ending(settlement, held)[0]


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
