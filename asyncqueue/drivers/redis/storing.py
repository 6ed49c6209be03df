"""Enqueueing over several shards: each record in the one that it belongs to.

A shard stores all that it is given by one call, or nothing. No id is in two shards: one that was
made for its record is new, and for any other all shards are asked first. Who gives the same id to
two jobs at the same instant, one of them with a key and the other without, may have both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.redis import latches, moving
from asyncqueue.drivers.redis.encoding import packed, wants_something
from asyncqueue.drivers.redis.moving import answers_of, check_count, places_of, runs_of
from asyncqueue.drivers.redis.shards import answered
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.record import Latch, Record


async def enqueue(
    shards: Shards, records: Sequence[Record], new: Sequence[Latch] = ()
) -> list[str | None]:
    """Store these records and latches.

    Raises PartlyUnavailable where some shards answer and some cannot be reached; the records of
    those that answer are stored.
    """
    if new or any(map(_is_linked, records)):
        return await _enqueue_linked(shards, records, new)
    if shards.only is not None:
        return await moving.enqueue(shards.only, records)
    check_count(records)
    storing = _Storing(shards, records)
    waiting = storing.without_known(await _taken(shards, records))
    while waiting:
        # Of those with one id the second is stored only where the first was not.
        first: dict[str, int] = {}
        later = [n for n in waiting if first.setdefault(records[n].id, n) != n]
        await storing.store(first.values(), later)
        waiting = [n for n in later if not storing.follow(n, first[records[n].id])]
    return storing.result()


def _is_linked(record: Record) -> bool:
    return record.latch is not None or wants_something(record)


async def _enqueue_linked(
    shards: Shards, records: Sequence[Record], new: Sequence[Latch]
) -> list[str | None]:
    """Store records of latches: each latch with all that is its own in one step of its shard."""
    taken = await _taken(shards, records) if shards.only is None else {}
    joined = {record.latch for record in records if record.latch} - {latch.id for latch in new}
    places = await _places_of(shards, joined)
    homes = [places.get(record.latch or "", shards.of(record)) for record in records]
    elsewhere = [
        bool(taken.get(one.id, set()) - {home}) for one, home in zip(records, homes, strict=True)
    ]
    parts = shards.split((home, n) for n, home in enumerate(homes) if not elsewhere[n])
    latches_of = shards.split((shards.home(latch.id), latch) for latch in new)
    answers = [one.id if taken else None for one, taken in zip(records, elsewhere, strict=True)]
    # Those with a latch may be refused: others are stored after them.
    linked = {homes[n] for n, record in enumerate(records) if record.latch} | latches_of.keys()
    before = shards.highest  # Of all of them: places are in the call, whichever shard comes first.
    for home in sorted(parts.keys() | linked, key=lambda home: home not in linked):
        part = parts.get(home, [])
        order = "" if shards.only is not None else places_of(before, part)
        stored, highest = await latches.enqueue(
            shards.all[home], [records[n] for n in part], latches_of.get(home, ()), order
        )
        shards.highest = max(shards.highest, highest)
        for n, answer in zip(part, stored, strict=True):
            answers[n] = answer
    return answers


async def _places_of(shards: Shards, ids: Iterable[str]) -> dict[str, int]:
    """The shards of latches. One that followed a job is in the shard of that job."""
    ids = list(ids)
    if shards.only is not None or not ids:
        return {}
    told = answered(await shards.each(lambda one: one.run("latches", *ids)))
    return {id.decode(): shard for shard, (_, *found) in told.items() for id in found[::2]}


async def _taken(shards: Shards, records: Iterable[Record]) -> dict[str, set[int]]:
    """In which shards there are jobs that have the ids of these records."""
    given = list({record.id for record in records if not record.fresh})
    taken: dict[str, set[int]] = {}
    if given:
        # A shard that does not answer is passed over: what it has of them would be stored in it.
        told = await shards.each(lambda one: one.run("known", *given))
        for shard, answers in answered(told).items():
            for id, known in zip(given, answers, strict=True):
                if known:
                    taken.setdefault(id, set()).add(shard)
    return taken


class _Storing:
    """One call, in which several shards may be asked several times."""

    def __init__(self, shards: Shards, records: Sequence[Record]) -> None:
        self._shards = shards
        self._records = records
        self._homes = [shards.of(record) for record in records]
        self._answers: list[str | None] = [None] * len(records)
        self._missing: dict[int, DriverError] = {}

    def without_known(self, taken: Mapping[str, set[int]]) -> list[int]:
        """The indexes of all records but those whose ids are taken in other shards."""
        new: list[int] = []
        for n, record in enumerate(self._records):
            if taken and taken.get(record.id, set()) - {self._homes[n]}:
                packed(record)  # One that must not be stored is refused all the same.
                self._answers[n] = record.id
            else:
                new.append(n)
        return new

    async def store(self, chosen: Iterable[int], later: Iterable[int]) -> None:
        """Store these, unless one of them or of those who come later must not be stored."""
        parts = self._shards.split((self._homes[n], n) for n in chosen)
        for n in later:
            packed(self._records[n])
        highest = self._shards.highest
        words = {
            home: [places_of(highest, part), *runs_of(self._records[n] for n in part)]
            for home, part in parts.items()
        }

        async def act(shard: Scripts) -> Any:
            return await shard.run_with("enqueue", words[shard.shard])

        told = await self._shards.each(act, parts)
        for home, reply in told.items():
            self._note(parts[home], reply)

    def _note(self, part: list[int], reply: Any) -> None:
        if isinstance(reply, DriverError):
            self._missing |= dict.fromkeys(part, reply)
            return
        told, highest = reply
        self._shards.highest = max(self._shards.highest, int(highest))
        for n, answer in zip(part, answers_of(told, len(part)), strict=True):
            self._answers[n] = answer

    def follow(self, n: int, first: int) -> bool:
        """Whether what became of the first with this id decides on a later one."""
        id = self._records[n].id
        if first in self._missing:
            self._missing[n] = self._missing[first]
        elif self._answers[first] not in (None, id):
            return False
        self._answers[n] = id
        return True

    def result(self) -> list[str | None]:
        """What the driver answers."""
        return self._shards.checked(self._answers, self._missing)
