"""Jobs that wait for permits: set aside when one is missing, and put back when there is one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from asyncqueue.drivers.sqlite.permits import Permits
from asyncqueue.record import Limited

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.sqlite.store import Store
    from asyncqueue.record import Record

_DECODER = msgspec.json.Decoder(tuple[Limited, ...])


def written(record: Record) -> str | None:
    """The limits of a record as its row keeps them."""
    return msgspec.json.encode(record.limits).decode() if record.limits else None


def read(text: Any) -> tuple[Limited, ...]:
    """The limits of a row. A damaged text asks for nothing: its job can be run and shown."""
    if text is None:
        return ()
    try:
        limits = _DECODER.decode(text)
    except (msgspec.DecodeError, TypeError):
        return ()
    return limits if all(limit.most > 0 for limit in limits) else ()


class Limits:
    """The permits and those who wait for them, for one call and within its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._permits = Permits(store)

    def admit(self, id: str, token: int, limits: Sequence[Limited]) -> str | None:
        """Take all permits that a job needs to be claimed; else answers the key that lacks one."""
        for limit in limits:
            wait = self._permits.wait(limit.key, limit.most)
            if wait > 0:
                self._look_again(limit.key, wait)
                return limit.key
        for limit in limits:
            if limit.per is None:
                self._permits.take(limit.key, id, math.inf)
            else:
                self._permits.take(limit.key, f"{id}/{token}", limit.per)
        return None

    def set_aside(self, missing: dict[int, str], limits: Iterable[Limited]) -> None:
        """Set rows aside, each until there is a permit of this key.

        Others may try in their place for their other limits, of which there may be permits.
        """
        self._store.change_bulk("limits.set_aside", list(missing.items()))
        keys = set(missing.values())
        self.refill(limit for limit in limits if limit.key not in keys)

    def ended(self, jobs: Iterable[tuple[str, Sequence[Limited]]]) -> None:
        """These are no longer being processed."""
        jobs = list(jobs)
        for id, limits in jobs:
            for limit in limits:
                if limit.per is None:
                    self._permits.give_back(limit.key, id)
        self.refill(limit for _, limits in jobs for limit in limits)

    def refill(self, limits: Iterable[Limited]) -> None:
        """Let as many try again as there are permits, of each queue and priority."""
        for limit in {limit.key: limit for limit in limits}.values():
            places = self._store.rows("limits.places", {"key": limit.key})
            room = limit.most - self._permits.taken(limit.key) if places else 0
            for queue, priority in places if room > 0 else ():
                place = {"key": limit.key, "queue": queue, "priority": priority, "room": room}
                self._store.change("limits.put_back", place)
                self._store.ring("queue", (queue,))

    def open(self) -> None:
        """Let those try whose permits have expired by now."""
        for (key,) in self._store.rows("limits.open", (self._store.now,)):
            limit = self._limit_of(key)
            if limit is None:
                continue
            self.refill((limit,))
            if self._limit_of(key) is not None:
                wait = self._permits.wait(key, limit.most) or limit.per or math.inf
                self._look_again(key, wait)

    def release(self, key: str, holder: str | None) -> int:
        """Give permits back by hand; answers how many."""
        self._permits.taken(key)  # Those that have expired do not count.
        gone = self._permits.give_back(key, holder)
        limit = self._limit_of(key)
        if limit is not None:
            self.refill((limit,))
        return gone

    def _look_again(self, key: str, wait: float) -> None:
        if wait < math.inf:
            self._store.change("limits.look_again", (key, self._store.now + wait))

    def _limit_of(self, key: str) -> Limited | None:
        """The limit of a key as one of those says who wait for it."""
        limits = read(self._store.value("limits.who_waits", (key,)))
        return next((limit for limit in limits if limit.key == key), None)


def ended(store: Store, jobs: Iterable[tuple[str, Any]]) -> None:
    """Of these jobs (id, limits as kept) are no longer processed those that have limits."""
    limited = [(id, read(text)) for id, text in jobs if text is not None]
    if limited:
        Limits(store).ended(limited)


def gone(store: Store, texts: Iterable[Any]) -> None:
    """Jobs with these limits wait no longer, and were not claimed: others may try instead."""
    limits = {limit.key: limit for text in texts if text is not None for limit in read(text)}
    if limits:
        Limits(store).refill(limits.values())
