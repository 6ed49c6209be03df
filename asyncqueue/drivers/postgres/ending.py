"""Ending claims of jobs that belong to latches, or that others follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncqueue.drivers.postgres import permits
from asyncqueue.drivers.postgres.enqueue import insert, joined
from asyncqueue.drivers.postgres.latches import locked, part_of
from asyncqueue.drivers.postgres.settle import in_order, settle_each
from asyncqueue.drivers.postgres.states import STATES
from asyncqueue.drivers.postgres.texts import storable
from asyncqueue.record import FINISHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.postgres.latches import Latches
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import Counted, Settlement


def parted(settlements: Sequence[Settlement]) -> tuple[Sequence[int], Sequence[int]]:
    """The places of those that need no more than one statement, and of those that are linked.

    Where there are linked ones, only the first of those for one claim has a place.
    """
    if not [s for s in settlements if s.latch is not None or s.follow_ups]:
        return range(len(settlements)), ()
    plain: list[int] = []
    linked: list[int] = []
    for place in sorted(in_order(settlements)):
        s = settlements[place]
        (plain if s.latch is None and not s.follow_ups else linked).append(place)
    return plain, linked


class Held(NamedTuple):
    """What became of a claim that was still held."""

    place: int
    """Of its settlement, from 1."""
    ending: int
    part: int | None
    queue: str | None
    awaited: bool


async def settle(
    store: Store, settlements: Sequence[Settlement], *, limited: bool = True
) -> list[bool | Counted]:
    """End those claims that are still held, with all that comes of it; needs a transaction.

    Unless ``limited``, claims of jobs with limits count as not held.
    """
    known = await permits.of_jobs(store, [s.id for s in settlements]) if limited else {}
    latches = await locked(store, _concerned(settlements))
    keys = await permits.locked(store, known.values())
    places = in_order(settlements)
    ordered = [settlements[place] for place in places]
    rows = await settle_each(store, ordered, limited=limited)
    held = {places[row.place - 1]: row for row in map(Held._make, rows)}
    ended = {place: settlements[place] for place in sorted(held)}
    followed = iter(await _follow(store, ended.values()))
    answers: list[bool | Counted] = [False] * len(settlements)
    for place, settlement in ended.items():
        answers[place] = _count(latches, settlement, held[place]) or True
        latches.add(settlement.latches, latches.now)
        latches.admit(settlement.follow_ups)
        for record in settlement.follow_ups:
            if next(followed) is None:
                latches.joined(record)
        keys.ended(settlement.id, permits.decoded(known.get(settlement.id)))
    await latches.write()
    await keys.write()
    store.ring_put_back({row.queue for row in held.values() if row.queue is not None})
    store.finished += [settlement.id for settlement in ended.values()]
    store.awaited = store.awaited or any(row.awaited for row in held.values())
    return answers


def _concerned(settlements: Sequence[Settlement]) -> set[str | None]:
    """The latches that are known before, of the jobs that end and of those that follow."""
    concerned = {settlement.latch for settlement in settlements}
    return concerned.union(*(joined(s.follow_ups, s.latches) for s in settlements if s.follow_ups))


async def _follow(store: Store, settlements: Iterable[Settlement]) -> list[str | None]:
    records = [record for settlement in settlements for record in settlement.follow_ups]
    return await insert(store, records) if records else []


def _count(latches: Latches, settlement: Settlement, held: Held) -> Counted | None:
    state = STATES[held.ending]
    if settlement.latch is None or state not in FINISHED:
        return None
    job = part_of(settlement.latch, held.part)
    return latches.ended(job, state, storable(settlement.error))
