"""What operators do: requeue, cancel, delete, prune, pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.sqlite.filters import condition
from asyncqueue.drivers.sqlite.settle import remove
from asyncqueue.drivers.sqlite.states import DELAYED, PROCESSING, READY, STATES
from asyncqueue.drivers.sqlite.store import listed
from asyncqueue.record import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Filter

REMOVED_AT_ONCE: Final = 5000
"""Bounds the time for which other processes must wait."""
DELETABLE: Final = tuple(state for state in State if state is not State.PROCESSING)


def requeue(store: Store, which: Filter) -> list[str]:
    """Move failed jobs back, in the order in which they were dispatched."""
    meant = condition(which, store.now)
    if meant.failed is None:
        return []
    ids = [id for (id,) in _select(store, "failed_ids", meant.failed, meant.parameters)]
    queues = _select(store, "requeued_queues", meant.failed, meant.parameters)
    _select(store, "requeue", meant.failed, meant.parameters)
    _select(store, "forget_failed", meant.failed, meant.parameters)
    store.ring("queue", (queue for (queue,) in queues))
    return ids


def cancel(store: Store, which: Filter, retention: float) -> dict[str, State]:
    """Cancel what waits, call off what runs; answers the states met."""
    meant = condition(which, store.now)
    met: dict[str, State] = {}
    where = meant.jobs()
    if where is not None:
        rows = _select(store, "met", where, meant.parameters)
        met = {id: STATES[code] for _, id, code, _ in rows}
        _cancel_waiting(store, [row for row in rows if row[2] in (READY, DELAYED)], retention)
        _call_off(store, [row for row in rows if row[2] == PROCESSING], retention)
    if meant.failed is not None:
        failed = _select(store, "failed_ids", meant.failed, meant.parameters)
        met |= {id: State.FAILED for (id,) in failed}
    return met


def _cancel_waiting(store: Store, rows: Sequence[Row], retention: float) -> None:
    seqs = [row[0] for row in rows]
    if retention > 0:
        parameters = {"seqs": listed(seqs), "now": store.now, "keep": retention}
        store.change("operate.cancel_waiting", parameters)
    else:
        remove(store, seqs)
    store.ring("job", (row[1] for row in rows))


def _call_off(store: Store, rows: Sequence[Row], retention: float) -> None:
    seqs = listed(row[0] for row in rows)
    store.change("operate.call_off", {"seqs": seqs, "keep": max(0.0, retention)})
    store.ring("worker", {row[3] for row in rows})


def delete(store: Store, which: Filter) -> int:
    """Remove some of the jobs that are meant; fewer than the most at once if no more are left."""
    meant = condition(which, store.now, DELETABLE)
    # One state after the other: each finds its rows by an index of its own.
    parts = [("delete_jobs", where) for where in meant.alternatives]
    if meant.failed is not None:
        parts.append(("delete_failed", meant.failed))
    gone: list[Row] = []
    for statement, where in parts:
        room = {"room": REMOVED_AT_ONCE - len(gone)}
        gone += _select(store, statement, where, meant.parameters | room)
    store.ring("job", (id for (id,) in gone))
    return len(gone)


def prune(store: Store, failed_retention: float) -> int:
    """Remove some of what is past its retention; see :func:`delete`."""
    gone = store.change("operate.prune_jobs", {"now": store.now, "room": REMOVED_AT_ONCE})
    room = REMOVED_AT_ONCE - gone
    before = store.now - failed_retention
    return gone + store.change("operate.prune_failed", {"before": before, "room": room})


def pause(store: Store, queues: Sequence[str], on: bool) -> list[str]:
    """Pause or resume; answers the queues for which that was a change."""
    statement = "operate.pause" if on else "operate.resume"
    changed = [queue for queue in dict.fromkeys(queues) if store.change(statement, (queue,))]
    if not on:
        store.ring("queue", changed)
    return changed


def paused(store: Store) -> list[str]:
    """The names of the paused queues, sorted."""
    return [name for (name,) in store.rows("operate.paused")]


def _select(store: Store, name: str, where: str, parameters: dict[str, object]) -> list[Row]:
    return store.select(store.sql[f"operate.{name}"].replace(":where", where), parameters)
