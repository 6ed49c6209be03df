"""Ending claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.postgres.packing import alike, literal, packed
from asyncqueue.drivers.postgres.states import CODES
from asyncqueue.drivers.postgres.store import column
from asyncqueue.drivers.postgres.texts import storable
from asyncqueue.record import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Settlement

_COMPLETED: Final = {State.COMPLETED}
_WITHOUT_TRACE: Final = {State.COMPLETED, State.CANCELLED}


async def settle(store: Store, settlements: Sequence[Settlement]) -> list[bool]:
    """End those claims that are still held; answers which were."""
    places = in_order(settlements)
    ordered = [settlements[place] for place in places]
    ((count, some, queues, awaited),) = await _settle(store, ordered)
    answers = [False] * len(settlements)
    held: list[int] = some or []
    ended = places if count == len(ordered) else [places[n - 1] for n in held]
    for place in ended:
        answers[place] = True
    store.ring_put_back(queues or ())
    store.finished += [settlements[place].id for place in ended]
    store.awaited = store.awaited or awaited
    return answers


async def settle_each(
    store: Store, settlements: Sequence[Settlement], *, limited: bool
) -> list[Row]:
    """The same of settlements in order; answers a row of each that was held."""
    columns = _columns(settlements) | {"limited": limited}
    return await store.composed("settle.settle", "answer", "settle.each", columns)


def in_order(settlements: Sequence[Settlement]) -> list[int]:
    """Their places in the order of their ids; of those for one claim the first only."""
    ids = [s.id for s in settlements]
    if len(set(ids)) == len(ids):
        return sorted(range(len(ids)), key=ids.__getitem__)
    first = {(s.id, s.token): place for place, s in reversed(list(enumerate(settlements)))}
    return [first[claim] for claim in sorted(first)]


async def _settle(store: Store, settlements: Sequence[Settlement]) -> list[Row]:
    """By the cheapest statement that can do it: most of the time all jobs of a call completed."""
    states = {s.state for s in settlements}
    kept = [s for s in settlements if s.retention > 0]
    if states <= _WITHOUT_TRACE and not kept:
        return await store.rows("settle.remove", **_claims(settlements))
    completed = states == _COMPLETED and len(kept) == len(settlements)
    if completed and all(s.attempt is None for s in settlements):
        return await store.rows("settle.complete", **_completions(settlements))
    columns = _columns(settlements) | {"limited": False}
    return await store.composed("settle.settle", "answer", "settle.all", columns)


def _claims(settlements: Sequence[Settlement]) -> dict[str, Any]:
    ids = [s.id for s in settlements]
    packed_ids = packed(ids)
    return {
        "asked": len(ids),
        "ids": ids if packed_ids is None else None,
        "packed_ids": packed_ids,
        "tokens": literal([s.token for s in settlements]),
    }


def _completions(settlements: Sequence[Settlement]) -> dict[str, Any]:
    attempts, attempt = alike([s.attempts for s in settlements])
    exceptions, exception = alike([s.exceptions for s in settlements])
    retentions, retention = alike([s.retention for s in settlements])
    return _claims(settlements) | {
        "attempts": attempts,
        "attempt": attempt,
        "exceptions": exceptions,
        "exception": exception,
        "retentions": retentions,
        "retention": retention,
        "results": column([s.result for s in settlements]),
        "errors": column([storable(s.error) for s in settlements]),
        "tracebacks": column([storable(s.traceback) for s in settlements]),
    }


def _columns(settlements: Sequence[Settlement]) -> dict[str, Any]:
    return {
        "ids": [s.id for s in settlements],
        "tokens": [s.token for s in settlements],
        "states": [CODES[s.state] for s in settlements],
        "attempts": [s.attempts for s in settlements],
        "exceptions": [s.exceptions for s in settlements],
        "delays": [s.delay for s in settlements],
        "retentions": [s.retention for s in settlements],
        "results": column([s.result for s in settlements]),
        "errors": column([storable(s.error) for s in settlements]),
        "tracebacks": column([storable(s.traceback) for s in settlements]),
        "notes": column([s.attempt for s in settlements]),
    }


async def is_held(store: Store, settlement: Settlement) -> bool:
    """Whether the claim that this settles is still held."""
    return bool(await store.rows("settle.held", id=settlement.id, token=settlement.token))


async def were_settled(store: Store, settlements: Sequence[Settlement]) -> list[bool]:
    """Which of these were stored by an earlier call whose answer was lost."""
    rows = await store.rows("settle.were_settled", **_columns(settlements))
    places = {row[0] for row in rows}
    return [place in places for place in range(1, len(settlements) + 1)]
