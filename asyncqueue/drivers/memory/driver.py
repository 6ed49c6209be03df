"""The verbs of the memory driver. None of them ever suspends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import msgspec

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Order, Watch, Watches
from asyncqueue.drivers.memory.look import (
    count_ahead,
    count_by_queue,
    count_matching,
    find_page,
    matching,
    present_workers,
)
from asyncqueue.drivers.memory.store import Store
from asyncqueue.drivers.storable import check_ends
from asyncqueue.record import WAITING, Claimed, Filter, Hold, Source, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.record import (
        Counted,
        Extension,
        Found,
        Latch,
        Permit,
        Presence,
        QueueCounts,
        Record,
        Settlement,
        Tally,
    )


class MemoryDriver(Driver):
    """Jobs in the memory of this process: they are lost when it ends.

    ``clock`` is where it takes the time from (default: the system). Several handles, made with
    :meth:`clone`, may share the jobs, each in its own thread. Closing a handle loses nothing.
    """

    name: ClassVar[str] = "memory"
    in_process: ClassVar[bool] = True

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = Store(clock)

    @property
    def clock(self) -> Clock:
        """Where the store takes the time from, for all its handles."""
        return self._store.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._store.clock = clock

    def clone(self) -> MemoryDriver:
        """A second handle on the same jobs; may be used from another thread."""
        twin = type(self)(clock=self.clock)
        twin._store = self._store  # noqa: SLF001 - of its own class
        return twin

    @property
    def watches(self) -> Watches:
        """The open watches of all handles."""
        return self._store.watches

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        """See :meth:`asyncqueue.drivers.base.Driver.enqueue`; durable as long as the process."""
        self.refuse_within(within)
        with self._store.lock:
            return self._store.enqueue(records, latches)

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """See :meth:`asyncqueue.drivers.base.Driver.claim`."""
        store = self._store
        with store.lock:
            now = store.now()
            until = now + lease
            store.first_lease = min(store.first_lease, until)
            claimed = Claimed([], now=now)
            if limit <= 0:
                return claimed
            store.limits.open(now)
            for source in sources:
                shelf = store.shelves.get(source.queue)
                if shelf is None or source.queue in store.paused:
                    continue
                for entry in store.take(source, limit - len(claimed.claims), now):
                    claimed.claims.append(store.hand_out(entry, now, until, worker))
                    shelf.processing[entry.id] = entry
            if len(claimed.claims) < limit:
                claimed.due_in = self._due_in(sources, now)
        return claimed

    def _due_in(self, sources: Sequence[Source], now: float) -> float | None:
        store = self._store
        nexts = (
            store.shelves[source.queue].next_due(source)
            for source in sources
            if source.queue in store.shelves and source.queue not in store.paused
        )
        due = min((due for due in nexts if due is not None), default=math.inf)
        due = min(due, store.limits.opens_at())
        return None if due == math.inf else max(0.0, due - now)

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """See :meth:`asyncqueue.drivers.base.Driver.extend`."""
        store = self._store
        with store.lock:
            until = store.now() + lease
            store.first_lease = min(store.first_lease, until)
            return [self._extend(extension, until) for extension in extensions]

    def _extend(self, extension: Extension, until: float) -> Hold:
        entry = self._store.held(extension.id, extension.token)
        if entry is None:
            return Hold.LOST
        entry.lease_until = until
        if extension.progress is not None:
            entry.progress = extension.progress
        if extension.message is not None:
            entry.message = extension.message
        return Hold.HELD if entry.cancel_retention is None else Hold.CANCELLED

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        """See :meth:`asyncqueue.drivers.base.Driver.settle`."""
        check_ends(settlements)
        store = self._store
        with store.lock:
            now = store.now()
            return [self._settle(settlement, now) for settlement in settlements]

    def _settle(self, settlement: Settlement, now: float) -> bool | Counted:
        entry = self._store.held(settlement.id, settlement.token)
        if entry is None:
            return False
        return self._store.end(entry, settlement, now) or True

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; every handle rings the watches of all."""
        return self._store.watches.open(topics)

    async def sweep(self) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.sweep`."""
        store = self._store
        with store.lock:
            now = store.now()
            if now < store.first_lease:
                return 0
            running = [e for shelf in store.shelves.values() for e in shelf.processing.values()]
            over = [entry for entry in running if entry.lease_until <= now]
            left = (entry.lease_until for entry in running if entry.lease_until > now)
            store.first_lease = min(left, default=math.inf)
            return sum([store.recover(entry, now) for entry in over])

    async def prune(self, failed_retention: float) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.prune`."""
        old = Filter(states=(State.FAILED,), finished_before=failed_retention)
        store = self._store
        with store.lock:
            removed = self._remove(old, store.now()) + store.take_expired_count()
            store.shelves = {queue: shelf for queue, shelf in store.shelves.items() if shelf}
            return removed

    async def find(
        self,
        which: Filter,
        *,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        order: Order = "created",
    ) -> Found:
        """See :meth:`asyncqueue.drivers.base.Driver.find`."""
        store = self._store
        with store.lock:
            return find_page(store, which, store.now(), (limit, max(0, offset), cursor), order)

    async def counts(self) -> dict[str, QueueCounts]:
        """See :meth:`asyncqueue.drivers.base.Driver.counts`."""
        with self._store.lock:
            return count_by_queue(self._store, self._store.now())

    async def count(self, which: Filter) -> int:
        """How many jobs are meant."""
        with self._store.lock:
            return count_matching(self._store, which, self._store.now())

    async def ahead(self, id: str) -> int | None:
        """See :meth:`asyncqueue.drivers.base.Driver.ahead`."""
        store = self._store
        with store.lock:
            return count_ahead(store, store.entries.get(id), store.now())

    async def latches(self, ids: Sequence[str] | None = None) -> list[Tally]:
        """See :meth:`asyncqueue.drivers.base.Driver.latches`."""
        store = self._store
        with store.lock:
            store.now()
            return store.latches.tallies(ids)

    async def call_off(self, ids: Sequence[str]) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.call_off`."""
        store = self._store
        with store.lock:
            store.now()
            return store.latches.call_off(ids)

    async def forget_latches(self, ids: Sequence[str]) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.forget_latches`."""
        store = self._store
        with store.lock:
            store.now()
            return store.latches.forget(ids)

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """See :meth:`asyncqueue.drivers.base.Driver.acquire`."""
        store = self._store
        with store.lock:
            now = store.now()
            permits = store.limits.permits
            if not permits.holds(key, holder, now):
                wait = permits.wait(key, most, now)
                if wait > 0:
                    return wait
            permits.take(key, holder, now + ttl)
            return 0.0

    async def release(self, key: str, holder: str | None = None) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.release`."""
        store = self._store
        with store.lock:
            now = store.now()
            gone = store.limits.permits.give_back(key, holder, now)
            store.limits.released(key, now)
            return gone

    async def holders(self, key: str) -> list[Permit]:
        """See :meth:`asyncqueue.drivers.base.Driver.holders`."""
        store = self._store
        with store.lock:
            return store.limits.permits.holders(key, store.now())

    async def requeue(self, which: Filter) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.requeue`."""
        store = self._store
        with store.lock:
            now = store.now()
            failed = [e for e in matching(store, which, now) if e.state is State.FAILED]
            failed.reverse()  # Back in the order in which they were dispatched.
            for entry in failed:
                store.revive(entry, now)
            return [entry.id for entry in failed]

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """See :meth:`asyncqueue.drivers.base.Driver.cancel`."""
        store = self._store
        with store.lock:
            now = store.now()
            entries = list(matching(store, which, now))
            met = {entry.id: entry.state_at(now) for entry in entries}
            for entry in entries:
                self._cancel(entry, retention, now)
            return met

    def _cancel(self, entry: Entry, retention: float, now: float) -> None:
        store = self._store
        if entry.state in WAITING:
            store.finish(entry, State.CANCELLED, retention, now)
        elif entry.state is State.PROCESSING:
            entry.cancel_retention = retention
            store.called_off[entry.id] = entry
            store.watches.ring((f"worker:{entry.worker}",))

    async def delete(self, which: Filter) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.delete`."""
        with self._store.lock:
            return self._remove(which, self._store.now())

    def _remove(self, which: Filter, now: float) -> int:
        entries = matching(self._store, which, now)
        idle = [entry for entry in entries if entry.state is not State.PROCESSING]
        for entry in idle:
            # One before it may have opened the latch that held this one back, to no avail.
            if self._store.entries.get(entry.id) is entry:
                self._store.remove(entry)
        return len(idle)

    async def pause(self, queues: Sequence[str], on: bool) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.pause`."""
        store = self._store
        with store.lock:
            changed = [q for q in dict.fromkeys(queues) if (q in store.paused) is not on]
            if on:
                store.paused.update(changed)
            else:
                store.paused.difference_update(changed)
            store.watches.ring(f"queue:{queue}" for queue in changed)
            return changed

    async def paused(self) -> list[str]:
        """The names of the paused queues, sorted."""
        with self._store.lock:
            return sorted(self._store.paused)

    async def announce(self, worker: Presence, ttl: float) -> None:
        """See :meth:`asyncqueue.drivers.base.Driver.announce`."""
        store = self._store
        with store.lock:
            now = store.now()
            here = msgspec.structs.replace(worker, queues=list(worker.queues), last_seen=now)
            alive = {name: seen for name, seen in store.presences.items() if seen[0] > now}
            store.presences = alive | {worker.id: (now + ttl, here)}

    async def retire(self, worker: str) -> None:
        """A worker ended: forget it."""
        with self._store.lock:
            self._store.presences.pop(worker, None)

    async def workers(self) -> list[Presence]:
        """See :meth:`asyncqueue.drivers.base.Driver.workers`."""
        with self._store.lock:
            return present_workers(self._store, self._store.now())

    async def called_off(self, worker: str) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.called_off`."""
        with self._store.lock:
            entries = self._store.called_off.values()
            return [entry.id for entry in entries if entry.worker == worker]
