"""What operators do: requeue, cancel, delete, prune, pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.postgres.filters import condition
from asyncqueue.drivers.postgres.states import STATES
from asyncqueue.record import WAITING, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import Filter

REMOVED_AT_ONCE: Final = 5000
"""Bounds the time for which others must wait."""
DELETABLE: Final = tuple(state for state in State if state is not State.PROCESSING)


async def requeue(store: Store, which: Filter) -> list[str]:
    """Move failed jobs back, in the order in which they were dispatched."""
    meant = condition(which)
    if meant.failed is None:
        return []
    rows = await store.select("operate.requeue", {"where": meant.failed}, meant.parameters)
    store.ring("queue", {queue for _, queue in rows})
    return [id for id, _ in rows]


async def cancel(store: Store, which: Filter, retention: float) -> dict[str, State]:
    """Cancel what waits, call off what runs; answers the states met."""
    meant = condition(which)
    met: dict[str, State] = {}
    if meant.failed is not None:
        rows = await store.select("operate.failed_ids", {"where": meant.failed}, meant.parameters)
        met |= {id: State.FAILED for (id,) in rows}
    if meant.live is not None:
        parameters = meant.parameters | {"keep": retention}
        rows = await store.select("operate.cancel", {"where": meant.live}, parameters)
        met |= {id: STATES[code] for id, code, _ in rows}
        store.ring("job", [id for id, code, _ in rows if STATES[code] in WAITING])
        store.ring("worker", {w for _, code, w in rows if STATES[code] is State.PROCESSING})
    return met


async def delete(store: Store, which: Filter) -> int:
    """Remove some of the jobs that are meant; fewer than the most at once if no more are left."""
    meant = condition(which, DELETABLE)
    gone: list[str] = []
    for statement, where in (("delete_jobs", meant.live), ("delete_failed", meant.failed)):
        if where is not None:
            room = {"room": REMOVED_AT_ONCE - len(gone)}
            parameters = meant.parameters | room
            rows = await store.select(f"operate.{statement}", {"where": where}, parameters)
            gone += [id for (id,) in rows]
    store.ring("job", gone)
    return len(gone)


async def prune(store: Store, failed_retention: float) -> int:
    """Remove some of what is past its retention; see :func:`delete`."""
    gone = await store.change("operate.prune_jobs", room=REMOVED_AT_ONCE)
    room = REMOVED_AT_ONCE - gone
    return gone + await store.change("operate.prune_failed", age=failed_retention, room=room)


async def pause(store: Store, queues: Sequence[str], on: bool) -> list[str]:
    """Pause or resume; answers the queues for which that was a change."""
    statement = "operate.pause" if on else "operate.resume"
    changed = {row[0] for row in await store.rows(statement, queues=list(dict.fromkeys(queues)))}
    store.ring("queue", changed)
    return [queue for queue in dict.fromkeys(queues) if queue in changed]


async def paused(store: Store) -> list[str]:
    """The names of the paused queues, sorted."""
    return [name for (name,) in await store.rows("operate.paused")]
