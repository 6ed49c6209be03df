"""What operators do: requeue, cancel, delete, prune, pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.sqlite import limits
from asyncqueue.drivers.sqlite.ending import remove
from asyncqueue.drivers.sqlite.filters import condition
from asyncqueue.drivers.sqlite.latches import Latches
from asyncqueue.drivers.sqlite.states import HELD_BACK, PROCESSING, STATES, WAITING
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
    where = {"where": meant.failed}
    latches = Latches(store)
    members = store.select("operate.requeued_members", meant.parameters, **where)
    latches.requeued([latch for (latch,) in members])
    latches.write()
    ids = store.select("operate.failed_ids", meant.parameters, **where)
    queues = store.select("operate.requeued_queues", meant.parameters, **where)
    store.select("operate.requeue", meant.parameters, **where)
    store.select("operate.forget_failed", meant.parameters, **where)
    store.ring("queue", (queue for (queue,) in queues))
    return [id for (id,) in ids]


def cancel(store: Store, which: Filter, retention: float) -> dict[str, State]:
    """Cancel what waits, call off what runs; answers the states met."""
    meant = condition(which, store.now)
    rows = [
        row
        for live in meant.live
        for row in store.select("operate.met", meant.parameters, index=live.by, where=live.where)
    ]
    met = {id: STATES[code] for _, id, code, *_ in rows}
    if meant.failed is not None:
        failed = store.select("operate.failed_ids", meant.parameters, where=meant.failed)
        met |= {id: State.FAILED for (id,) in failed}
    _cancel_waiting(store, [row for row in rows if row[2] in WAITING], retention)
    _call_off(store, [row for row in rows if row[2] == PROCESSING], retention)
    return met


def _cancel_waiting(store: Store, rows: Sequence[Row], retention: float) -> None:
    latches = Latches(store)
    dropped = latches.removed((seq, *part) for seq, _, _, _, _, *part in rows)
    seqs = [seq for seq, *_ in rows if seq not in dropped]
    if retention > 0:
        parameters = {"seqs": listed(seqs), "now": store.now, "keep": retention}
        store.change("operate.cancel_waiting", parameters)
    else:
        remove(store, seqs)
    latches.write()
    limits.gone(store, (row[4] for row in rows if row[2] != HELD_BACK))
    store.ring("job", (row[1] for row in rows))


def _call_off(store: Store, rows: Sequence[Row], retention: float) -> None:
    seqs = listed(row[0] for row in rows)
    store.change("operate.call_off", {"seqs": seqs, "keep": max(0.0, retention)})
    store.ring("worker", {row[3] for row in rows})


def delete(store: Store, which: Filter) -> int:
    """Remove some of the jobs that are meant; fewer than the most at once if no more are left."""
    meant = condition(which, store.now, DELETABLE)
    parts = [("operate.delete_jobs", {"index": r.by, "where": r.where}) for r in meant.live]
    if meant.failed is not None:
        parts.append(("operate.delete_failed", {"where": meant.failed}))
    gone: list[Row] = []
    for statement, marks in parts:
        room = {"room": REMOVED_AT_ONCE - len(gone)}
        gone += store.select(statement, meant.parameters | room, **marks)
    store.ring("job", (row[0] for row in gone))
    latches = Latches(store)
    waited = [row for row in gone if row[-1] in WAITING]
    latches.removed(tuple(part) for _, _, *part, _ in waited)
    latches.write()
    limits.gone(store, (row[1] for row in waited if row[-1] != HELD_BACK))
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
    store.ring("queue", changed)
    return changed


def paused(store: Store) -> list[str]:
    """The names of the paused queues, sorted."""
    return [name for (name,) in store.rows("operate.paused")]
