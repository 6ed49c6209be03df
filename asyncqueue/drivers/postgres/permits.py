"""Permits: taking and giving them back, and letting those who wait for one try again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.drivers.permits import Permits
from asyncqueue.record import Limited, Permit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import Claim, Settlement

OPENED_AT_ONCE: Final = 100
_DECODER: Final = msgspec.json.Decoder(tuple[Limited, ...])


def encoded(limits: Sequence[Limited]) -> str | None:
    """How limits are stored; None where there are none."""
    return msgspec.json.encode(limits).decode() if limits else None


def decoded(text: str | None) -> tuple[Limited, ...]:
    """The limits that are stored like this. A damaged text asks for nothing, as on SQLite."""
    try:
        limits = () if text is None else _DECODER.decode(text)
    except msgspec.DecodeError:
        return ()
    return limits if all(limit.most > 0 for limit in limits) else ()


class Keys:
    """The permits of the keys that it has locked, for one transaction.

    It must lock all of them at once, after latches and before jobs.
    """

    def __init__(self, store: Store) -> None:
        self.now = 0.0
        self._store = store
        self._permits = Permits()
        self._taken: list[tuple[str, str, float]] = []
        self._returned: list[tuple[str, str]] = []
        self._freed: dict[str, Limited] = {}
        self._armed: dict[str, float] = {}

    async def lock(self, keys: Iterable[str]) -> None:
        """Get to know the permits of these, as nobody else may change them from now on."""
        wanted = sorted(set(keys))
        if not wanted:
            return
        family = self._store.sql.tables.family
        await self._store.rows("permits.lock", store=family, keys=wanted)
        for now, key, holder, until in await self._store.rows("permits.taken", keys=wanted):
            self.now = now
            if key is not None:
                self._permits.take(key, holder, until)

    @property
    def opens_in(self) -> float | None:
        """Seconds until somebody who was set aside here may try again, where that is known."""
        return min(self._armed.values(), default=math.inf) - self.now if self._armed else None

    def lacks(self, limits: Iterable[Limited]) -> str | None:
        """The first key of which there is no permit left: it is looked at again in time."""
        for limit in limits:
            wait = self._permits.wait(limit.key, limit.most, self.now)
            if wait > 0:
                self.arm(limit.key, self.now + wait)
                return limit.key
        return None

    def reserve(self, limits: Iterable[Limited], seq: int) -> None:
        """One that waits is going to have its permits: its claim takes them."""
        for limit in limits:
            until = math.inf if limit.per is None else self.now + limit.per
            self._permits.take(limit.key, f"\0{seq}", until)

    def take(self, limits: Iterable[Limited], id: str, token: int) -> None:
        """This claim takes its permits."""
        for limit in limits:
            if limit.per is None:
                self._taken.append((limit.key, id, math.inf))
            else:
                self._taken.append((limit.key, f"{id}/{token}", self.now + limit.per))

    def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """Take one, or keep one, for a while; 0.0, or the seconds until one expires."""
        if not self._permits.holds(key, holder, self.now):
            wait = self._permits.wait(key, most, self.now)
            if wait > 0:
                return wait
        self._taken.append((key, holder, self.now + ttl))
        return 0.0

    def release(self, key: str, holder: str | None) -> int:
        """Give that of one holder back, or all; answers how many."""
        permits = self._permits.holders(key, self.now)
        held = [permit.holder for permit in permits if holder in (None, permit.holder)]
        self._returned += [(key, name) for name in held]
        return self._permits.give_back(key, holder, self.now)

    def ended(self, id: str, limits: Iterable[Limited]) -> None:
        """A job is no longer being processed: another one may try."""
        for limit in limits:
            if limit.per is None:
                self._permits.give_back(limit.key, id, self.now)
                self._returned.append((limit.key, id))
            self._freed[limit.key] = limit

    def gone(self, limits: Iterable[Limited]) -> None:
        """One that waited is gone: another one may try in its place."""
        self._freed |= {limit.key: limit for limit in limits}

    def arm(self, key: str, at: float) -> None:
        """Look at a key again at this time, if there is one."""
        if at < math.inf:
            self._armed[key] = min(at, self._armed.get(key, at))

    def wait(self, limit: Limited) -> float:
        """Seconds until there is a permit."""
        return self._permits.wait(limit.key, limit.most, self.now)

    async def write(self) -> None:
        """Store what came of it, and let as many try again as there are permits."""
        store = self._store
        if self._returned:
            keys, holders = zip(*self._returned, strict=True)
            await store.change("permits.give_back", keys=keys, holders=holders)
        if self._taken:
            keys, holders, untils = zip(*self._taken, strict=True)
            await store.change("permits.take", keys=keys, holders=holders, untils=untils)
        await self.write_openings()
        room = {key: self._permits.room(limit, self.now) for key, limit in self._freed.items()}
        room = {key: left for key, left in room.items() if left}
        if room:
            rooms = list(room.values())
            rows = await store.rows("permits.refill", keys=list(room), rooms=rooms)
            store.ring("queue", {queue for (queue,) in rows})

    async def write_openings(self) -> None:
        """Store when to look at keys again."""
        if self._armed:
            ats = list(self._armed.values())
            await self._store.change("permits.arm", keys=list(self._armed), ats=ats)


async def locked(store: Store, limits: Iterable[str | None]) -> Keys:
    """The keys of these limits, as they are stored, locked until the end of the transaction."""
    keys = Keys(store)
    known = {text for text in limits if text is not None}
    await keys.lock(limit.key for text in known for limit in decoded(text))
    return keys


async def of_jobs(store: Store, ids: Sequence[str]) -> dict[str, str]:
    """The limits, as they are stored, of those of these jobs that have any."""
    rows = await store.rows("permits.of_jobs", ids=list(ids))
    return {row[0]: row[1] for row in rows}


async def limited(store: Store, claims: Sequence[Settlement | Claim]) -> list[int]:
    """The places, from 0, of those of these claims that are held by jobs with limits."""
    ids, tokens = [claim.id for claim in claims], [claim.token for claim in claims]
    return [place - 1 for (place,) in await store.rows("permits.claims", ids=ids, tokens=tokens)]


# The verbs. All but the last one need a transaction.


async def acquire(store: Store, key: str, holder: str, most: int, ttl: float) -> float:
    """Take a permit for a while; 0.0, or the seconds until one expires."""
    keys = Keys(store)
    await keys.lock([key])
    wait = keys.acquire(key, holder, most, ttl)
    await keys.write()
    return wait


async def release(store: Store, key: str, holder: str | None) -> int:
    """Give the permit of one holder back, or all of a key."""
    keys = Keys(store)
    await keys.lock([key])
    gone = keys.release(key, holder)
    keys.gone(await _waited_for(store, [key]))
    await keys.write()
    return gone


async def open_due(store: Store) -> None:
    """Let those try again whose permits have expired by now."""
    due = [key for (key,) in await store.rows("permits.due", most=OPENED_AT_ONCE)]
    keys = Keys(store)
    await keys.lock(due)
    opened = [key for (key,) in await store.rows("permits.disarm", keys=due)]
    keys.gone(await _waited_for(store, opened))
    await keys.write()
    for limit in await _waited_for(store, opened):
        keys.arm(limit.key, keys.now + (keys.wait(limit) or limit.per or math.inf))
    await keys.write_openings()


async def _waited_for(store: Store, keys: Sequence[str]) -> list[Limited]:
    """The limits of these keys for which anybody is set aside."""
    rows = await store.rows("permits.first_aside", keys=keys)
    return [limit for key, limits in rows for limit in decoded(limits) if limit.key == key]


async def holders(store: Store, key: str) -> list[Permit]:
    """The permits that are taken, the first to expire first."""
    rows = await store.rows("permits.holders", key=key)
    return [Permit(holder, None if left == math.inf else left) for holder, left in rows]
