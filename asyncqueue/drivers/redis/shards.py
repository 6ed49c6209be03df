"""The parts of a keyspace over which jobs are spread: which job is in which, and asking several.

All that has to change in one step is in one shard, so that one script can change it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from msgspec.structs import replace

from asyncqueue.drivers.redis.resting import Rest
from asyncqueue.drivers.redis.scripts import Scripts
from asyncqueue.errors import ConfigError, DriverError, DriverUnavailable, PartlyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from asyncqueue.drivers.redis.link import Link
    from asyncqueue.record import Record

    T = TypeVar("T")


def tags_of(prefix: str, count: int) -> list[str]:
    """The hash tags of the shards, with which all of their keys begin."""
    return [f"{{{prefix}:{shard}}}" for shard in range(count)]


class Shards:
    """All shards of a keyspace, in their order.

    ``highest`` is the highest number of a job that is known of any shard. New ones are above it, so
    that numbers of different shards tell which job was dispatched first.
    """

    def __init__(self, link: Link, prefix: str, count: int, now: Callable[[], str]) -> None:
        self.place = link.place
        self.highest = 0
        self.all = tuple(
            Scripts(link, tag, now, shard, Rest(_name(link, tag)) if count > 1 else None)
            for shard, tag in enumerate(tags_of(prefix, count))
        )
        self.only = self.all[0] if count == 1 else None
        """The only shard, where there are no others."""
        self._link = link

    def __len__(self) -> int:
        return len(self.all)

    def of(self, record: Record) -> int:
        """The shard in which a record is stored."""
        if record.limits:
            return self._home_of_limits(record)
        return self.home(record.latch or record.key or record.together or record.id)

    def home(self, word: str) -> int:
        """The shard in which all that belongs to this word is stored."""
        return crc32(word.encode()) % len(self.all)

    def home_of_permits(self, key: str) -> int:
        """The shard that keeps the permits of this key: that of the word behind its kind."""
        return self.home(key.partition(":")[2])

    def before(self, records: Sequence[Record], following: Sequence[Record]) -> Sequence[Record]:
        """These records in the shard of the limits of those that follow them, as those will be.

        Raises DriverError where that cannot be.
        """
        limited = [record for record in following if record.limits]
        if self.only is not None or not limited:
            return records
        words = [limit.key.partition(":")[2] for record in limited for limit in record.limits]
        if not any(one.latch or one.key or one.limits for one in records):
            records = [replace(record, together=words[0]) for record in records]
        homes = {self.of(record) for record in records} | {self.home(word) for word in words}
        if len(homes) > 1:
            told = dict.fromkeys(_bonds(one) for one in (*records, *limited))
            bonds = [bond for bond in told if bond]
            raise DriverError(
                f"A chain is stored in one of the {len(self)} shards of this store, and is bound "
                f"to {' and '.join(bonds)}, in different ones. Bind its jobs to one limit only, or "
                "open the store without ?shards=."
            )
        return records

    def _home_of_limits(self, record: Record) -> int:
        """Where the permits are that a record needs: all it needs must be in one shard."""
        homes = {self.home_of_permits(limit.key) for limit in record.limits}
        homes |= {self.home(word) for word in (record.latch, record.key) if word}
        if len(homes) > 1:
            raise DriverError(
                f"{record.name} {record.id} is bound to {_bonds(record)}, in different ones of "
                f"the {len(self)} shards of this store, and no claim can look into several. Bind "
                "it to one of them, or open the store without ?shards=."
            )
        return homes.pop()

    def split(self, records: Iterable[tuple[int, T]]) -> dict[int, list[T]]:
        """Things by the shard that stands before each."""
        parts: dict[int, list[T]] = {}
        for shard, thing in records:
            parts.setdefault(shard, []).append(thing)
        return parts

    async def each(
        self, act: Callable[[Scripts], Coroutine[Any, Any, T]], which: Iterable[int] | None = None
    ) -> dict[int, T | DriverError]:
        """What all of these shards (or all there are) answer, or the error, asked at once."""
        chosen = range(len(self.all)) if which is None else list(which)
        if not chosen:
            return {}
        if len(chosen) == 1:
            try:
                return {chosen[0]: await act(self.all[chosen[0]])}
            except DriverError as error:
                return {chosen[0]: error}
        asking = self.ask(act, chosen)
        try:
            await asyncio.wait(asking.values())
        except asyncio.CancelledError:
            for task in asking.values():
                task.cancel()
            raise
        return {shard: outcome(task) for shard, task in asking.items()}

    async def every(
        self, act: Callable[[Scripts], Coroutine[Any, Any, T]], which: Iterable[int] | None = None
    ) -> list[T]:
        """As :meth:`each`; raises where one of them does not answer."""
        return list(answered(await self.each(act, which), all_of_them=True).values())

    async def some(self, act: Callable[[Scripts], Coroutine[Any, Any, T]]) -> list[T]:
        """What those answer that can be reached; raises where none can, or one refuses."""
        return list(answered(await self.each(act)).values())

    def ask(
        self, act: Callable[[Scripts], Coroutine[Any, Any, T]], which: Iterable[int]
    ) -> dict[int, asyncio.Task[T]]:
        """Ask these shards; what goes to one server is sent in one piece."""
        with self._link.together():
            return {shard: asyncio.create_task(act(self.all[shard])) for shard in which}

    def checked(self, answers: list[T], missing: Mapping[int, DriverError]) -> list[T]:
        """The answers, unless some are missing, at these indexes and for these reasons.

        Raises PartlyUnavailable where some shards can be reached, else the first of the errors, or
        that of a shard which refused.
        """
        if not missing:
            return answers
        error = next(iter(missing.values()))
        if len(missing) == len(answers):
            refused = (one for one in missing.values() if not isinstance(one, DriverUnavailable))
            error = next(refused, error)
            if not isinstance(error, DriverUnavailable) or all(one.is_resting for one in self.all):
                raise error
        raise PartlyUnavailable(str(error), list(answers), frozenset(missing)) from error

    async def meet(self) -> None:
        """See whether all who use the keyspace have the same number of shards.

        Raises ConfigError where they have not, DriverUnavailable where none answers.
        """
        told = await self.each(lambda shard: shard.run("meet", ""))
        met = answered(told, all_of_them=self.only is not None)
        self._note(met)
        if all(known for known, _ in met.values()):
            return
        # Nobody was here before. All must say so, and the first decides between several who come.
        answered(told, all_of_them=True)
        for shard in self.all:
            self._note({shard.shard: await shard.run("meet", len(self.all))})

    def _note(self, met: Mapping[int, Any]) -> None:
        for known, highest in met.values():
            self.highest = max(self.highest, int(highest))
            if known and not known.isdigit():
                raise ConfigError(
                    f"How many shards the jobs in {self.place} are spread over is no number any "
                    f"more: write it to the field shards of the keys ending in :about. It is "
                    f"{known[:40]!r}."
                )
            if known and int(known) != len(self.all):
                raise ConfigError(
                    f"shards={len(self.all)}, but the jobs in {self.place} with this prefix are "
                    f"spread over {int(known)}: give shards={int(known)}, or another prefix."
                )


def outcome(task: asyncio.Task[T]) -> T | DriverError:
    """What came of a task that is done. Raises what is no error of a store."""
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, DriverError):
        return error
    raise error


def answered(told: Mapping[int, T | DriverError], *, all_of_them: bool = False) -> dict[int, T]:
    """Those that answered. Raises the error of one that refused, and if none could be reached."""
    errors = [one for one in told.values() if isinstance(one, DriverError)]
    refused = next((one for one in errors if not isinstance(one, DriverUnavailable)), None)
    if refused is not None:
        raise refused
    if errors and (all_of_them or len(errors) == len(told)):
        raise errors[0]
    return {shard: one for shard, one in told.items() if not isinstance(one, DriverError)}


def _name(link: Link, tag: str) -> str:
    return f"The shard {tag} of {link.place}"


def _bonds(record: Record) -> str:
    bonds = [f"the limit {limit.key!r}" for limit in record.limits]
    bonds += [f"the batch {record.latch}"] if record.latch else []
    bonds += [f"the unique key {record.key!r}"] if record.key else []
    return " and ".join(bonds)
