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


async def in_each_others_way(store: Store, settlements: Sequence[Settlement]) -> bool:
    """Whether it may matter in which order they are settled, and what follows is stored.

    So it is where the id or the key of a follow-up is that of a job which ends in this call, or
    which one of its latches may drop; and where one joins those whom such a latch may let go of.
    """
    records = [record for settlement in settlements for record in settlement.follow_ups]
    latches = {settlement.latch for settlement in settlements} - {None}
    if not records or (len(settlements) == 1 and not latches):
        return False
    if any(record.held is not None and record.latch in latches for record in records):
        return True
    return await store.value(
        "settle.in_the_way",
        ids=[record.id for record in records],
        keys=[record.key for record in records if record.key is not None],
        ends=[settlement.id for settlement in settlements],
        latches=list(latches),
    )


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
    for place, settlement in ended.items():
        _tell(store, settlement, held[place])
    return answers


async def settle_in_turn(store: Store, settlements: Sequence[Settlement]) -> list[bool | Counted]:
    """The same one after the other, where they are in each other's way; needs a transaction."""
    known = await permits.of_jobs(store, [s.id for s in settlements])
    latches = await locked(store, _concerned(settlements))
    keys = await permits.locked(store, known.values())
    # In one order, for whoever else changes several of them: who comes first has all.
    await store.rows("settle.lock", ids=[s.id for s in settlements])
    answers: list[bool | Counted] = []
    for settlement in settlements:
        rows = await settle_each(store, [settlement], limited=True)
        if not rows:
            answers.append(False)
            continue
        held = Held._make(rows[0])
        answers.append(_count(latches, settlement, held) or True)
        latches.add(settlement.latches, latches.now)
        latches.admit(settlement.follow_ups)
        await latches.write()
        for record, other in zip(
            settlement.follow_ups, await _follow(store, [settlement]), strict=True
        ):
            if other is None:
                latches.joined(record)
        keys.ended(settlement.id, permits.decoded(known.get(settlement.id)))
        _tell(store, settlement, held)
    await latches.write()
    await keys.write()
    return answers


def _tell(store: Store, settlement: Settlement, held: Held) -> None:
    """Let those hear of it who wait for something."""
    if held.queue is not None:
        store.ring_put_back({held.queue})
    store.finished.append(settlement.id)
    store.awaited = store.awaited or held.awaited


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
