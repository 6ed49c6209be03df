"""What operators do: requeue, cancel, delete, prune, pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.postgres import permits
from asyncqueue.drivers.postgres.filters import condition
from asyncqueue.drivers.postgres.latches import locked
from asyncqueue.drivers.postgres.states import STATES
from asyncqueue.record import WAITING, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.latches import Latches
    from asyncqueue.drivers.postgres.permits import Keys
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Filter

REMOVED_AT_ONCE: Final = 5000
"""Bounds the time for which others must wait."""
DELETABLE: Final = tuple(state for state in State if state is not State.PROCESSING)


async def requeue(store: Store, which: Filter) -> list[str]:
    """Move failed jobs back, in the order in which they were dispatched."""
    meant = condition(which)
    if meant.failed is None:
        return []
    where = {"where": meant.failed}
    concerned = await store.select("operate.failed_latches", where, meant.parameters)
    ids = [id for (id,) in concerned]
    latches = await locked(store, ids)
    rows = await store.select("operate.requeue", where, meant.parameters | {"latches": ids})
    latches.requeued(latch for _, _, latch in rows if latch is not None)
    await latches.write()
    store.ring_put_back({queue for _, queue, _ in rows})
    return [id for id, *_ in rows]


async def cancel(store: Store, which: Filter, retention: float) -> dict[str, State]:
    """Cancel what waits, call off what runs; answers the states met."""
    meant = condition(which)
    met: dict[str, State] = {}
    if meant.failed is not None:
        rows = await store.select("operate.failed_ids", {"where": meant.failed}, meant.parameters)
        met |= {id: State.FAILED for (id,) in rows}
    if meant.live is not None:
        parameters = meant.parameters | {"keep": retention}
        met |= await _cancel(store, {"where": meant.live}, parameters)
    return met


async def _cancel(
    store: Store, where: dict[str, str], parameters: dict[str, object]
) -> dict[str, State]:
    concerned = await store.select("operate.concerned", where, parameters)
    latches, keys, parameters = await _locked(store, concerned, parameters)
    rows = await store.select("operate.cancel", where, parameters)
    met = {id: STATES[code] for id, code, *_ in rows}
    waited = [row for row in rows if met[row[0]] in WAITING]
    await _removed(latches, keys, [row[3:] for row in waited])
    store.ring("job", [id for id, *_ in waited])
    store.ring("worker", {row[2] for row in rows if met[row[0]] is State.PROCESSING})
    return met


async def _locked(
    store: Store, rows: Sequence[Row], parameters: dict[str, object]
) -> tuple[Latches, Keys, dict[str, object]]:
    """The latches and keys of these rows, locked, and the parameters that tell of them."""
    ids = {latch for latch, _ in rows if latch is not None}
    limits = {limits for _, limits in rows if limits is not None}
    latches = await locked(store, ids)
    keys = await permits.locked(store, limits)
    return latches, keys, parameters | {"latches": list(ids), "limits": list(limits)}


async def _removed(latches: Latches, keys: Keys, rows: Sequence[Row]) -> None:
    """Jobs that waited are gone: their limits, and what they are to their latches."""
    for row in rows:
        keys.gone(permits.decoded(row[0]))
    await latches.removed(row[1:] for row in rows)
    await latches.write()
    await keys.write()


async def delete(store: Store, which: Filter) -> int:
    """Remove some of the jobs that are meant; fewer than the most at once if no more are left.

    Those that wait and have a latch or limits are left to :func:`delete_linked`.
    """
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


async def delete_linked(store: Store, which: Filter) -> int:
    """The same of those that wait and have a latch or limits; needs a transaction."""
    meant = condition(which, WAITING)
    if meant.live is None:
        return 0
    where = {"where": meant.live}
    parameters = meant.parameters | {"room": REMOVED_AT_ONCE}
    concerned = await store.select("operate.linked", where, parameters)
    if not concerned:
        return 0
    latches, keys, parameters = await _locked(store, concerned, parameters)
    rows = await store.select("operate.delete_linked", where, parameters)
    await _removed(latches, keys, [row[1:] for row in rows])
    store.ring("job", [row[0] for row in rows])
    return len(rows)


async def prune(store: Store, failed_retention: float) -> int:
    """Remove some of what is past its retention; see :func:`delete`. Only jobs are counted."""
    await store.change("latches.prune", room=REMOVED_AT_ONCE)
    await store.change("permits.prune", room=REMOVED_AT_ONCE)
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
