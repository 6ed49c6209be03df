"""The verbs of the SQLite driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.drivers.sqlite import (
    claim,
    enqueue,
    latches,
    leases,
    look,
    operate,
    permits,
    presence,
    settle,
)
from asyncqueue.drivers.sqlite.calls import Call
from asyncqueue.drivers.sqlite.handle import Handle
from asyncqueue.drivers.sqlite.joining import enqueue_within
from asyncqueue.drivers.sqlite.limits import Limits
from asyncqueue.drivers.storable import check_records, check_settlements
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.drivers.base import Order
    from asyncqueue.record import (
        Counted,
        Extension,
        Filter,
        Found,
        Hold,
        Latch,
        Permit,
        Presence,
        QueueCounts,
        Record,
        Settlement,
        Source,
        State,
        Tally,
    )


class SqliteDriver(Handle):
    """Jobs in an SQLite file: durable, for any number of processes on one host.

    ``path`` may be a file that the application uses too; it is put into write-ahead mode.
    ``table`` and ``failed_table`` name the tables, which are created when they are missing.
    ``synchronous``: with ``FULL`` (default) a stored job or outcome survives a power failure;
    with ``NORMAL`` only a crash of the process, and it is faster. ``busy_timeout``: seconds to
    wait for the locks of other connections before ``DriverUnavailable``. ``clock``: where the
    time comes from.

    Constructing does no I/O. Raises ConfigError for settings that cannot be used.
    """

    # Move

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        """See :meth:`asyncqueue.drivers.base.Driver.enqueue`.

        ``within`` is a ``sqlite3.Connection`` to the same file that is in a transaction, or
        begins one by itself. Raises TransactionUnsupported for anything else, ValueError for a
        connection to another file.
        """
        check_records(records)
        if within is not None:
            self._reader.original.check()  # Only an open driver is known to have its tables.
            now = self.clock.time()
            return enqueue_within(within, records, latches, self._place, self._sql, now)
        if not records and not latches:
            return []
        now = self.clock.time()
        call = Call(
            lambda store: enqueue.enqueue(store, records, now, latches), weight=len(records)
        )
        return await self._writer.do(call)

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """See :meth:`asyncqueue.drivers.base.Driver.claim`."""
        if limit <= 0:
            return Claimed([])
        call = Call(
            lambda store: claim.claim(store, sources, limit, lease, worker),
            # Where there was something a moment ago there will be more: then do not look twice.
            probe=(lambda store: claim.probe(store, sources)) if self._idle else None,
            undo=_giving_back,
            durable=False,
            weight=limit,
        )
        claimed = await self._writer.do(call)
        self._idle = not claimed.claims
        return claimed

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """See :meth:`asyncqueue.drivers.base.Driver.extend`."""
        call = Call(
            lambda store: leases.extend(store, extensions, lease),
            durable=False,
            weight=len(extensions),
        )
        return await self._writer.do(call)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool | Counted]:
        """See :meth:`asyncqueue.drivers.base.Driver.settle`."""
        check_settlements(settlements)
        call = Call(lambda store: settle.settle(store, settlements), weight=len(settlements))
        return await self._writer.do(call)

    async def sweep(self) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.sweep`."""
        returned, more = 0, True
        while more:
            swept = await self._writer.do(Call(leases.sweep, probe=leases.nothing_expired))
            returned, more = returned + swept.returned, swept.more
        return returned

    async def prune(self, failed_retention: float) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.prune`."""
        gone = await self._all_gone(Call(lambda store: operate.prune(store, failed_retention)))
        while await self._writer.do(Call(latches.prune)) == latches.FORGOTTEN_AT_ONCE:
            continue
        await self._writer.do(Call(permits.prune))
        return gone

    # Look

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
        page = (limit, offset, cursor)
        return await self._reader.read(lambda store: look.find(store, which, page, order))

    async def counts(self) -> dict[str, QueueCounts]:
        """See :meth:`asyncqueue.drivers.base.Driver.counts`."""
        return await self._reader.read(look.counts)

    async def count(self, which: Filter) -> int:
        """How many jobs are meant."""
        return await self._reader.read(lambda store: look.count(store, which))

    async def ahead(self, id: str) -> int | None:
        """See :meth:`asyncqueue.drivers.base.Driver.ahead`."""
        return await self._reader.read(lambda store: look.ahead(store, id))

    # Latches

    async def latches(self, ids: Sequence[str] | None = None) -> list[Tally]:
        """See :meth:`asyncqueue.drivers.base.Driver.latches`."""
        return await self._reader.read(lambda store: latches.tallies(store, ids))

    async def call_off(self, ids: Sequence[str]) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.call_off`."""
        return await self._writer.do(Call(lambda store: latches.call_off(store, ids)))

    async def forget_latches(self, ids: Sequence[str]) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.forget_latches`."""
        return await self._writer.do(Call(lambda store: latches.forget(store, ids)))

    # Permits

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """See :meth:`asyncqueue.drivers.base.Driver.acquire`."""
        call = Call(lambda store: permits.acquire(store, key, holder, most, ttl))
        return await self._writer.do(call)

    async def release(self, key: str, holder: str | None = None) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.release`."""
        return await self._writer.do(Call(lambda store: Limits(store).release(key, holder)))

    async def holders(self, key: str) -> list[Permit]:
        """See :meth:`asyncqueue.drivers.base.Driver.holders`."""
        return await self._reader.read(lambda store: permits.holders(store, key))

    # Operate

    async def requeue(self, which: Filter) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.requeue`."""
        return await self._writer.do(Call(lambda store: operate.requeue(store, which)))

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """See :meth:`asyncqueue.drivers.base.Driver.cancel`."""
        return await self._writer.do(Call(lambda store: operate.cancel(store, which, retention)))

    async def delete(self, which: Filter) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.delete`."""
        return await self._all_gone(Call(lambda store: operate.delete(store, which)))

    async def pause(self, queues: Sequence[str], on: bool) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.pause`."""
        return await self._writer.do(Call(lambda store: operate.pause(store, queues, on)))

    async def paused(self) -> list[str]:
        """The names of the paused queues, sorted."""
        return await self._reader.read(operate.paused)

    # Workers

    async def announce(self, worker: Presence, ttl: float) -> None:
        """See :meth:`asyncqueue.drivers.base.Driver.announce`."""
        call = Call(lambda store: presence.announce(store, worker, ttl), durable=False)
        await self._writer.do(call)

    async def retire(self, worker: str) -> None:
        """A worker ended: forget it."""
        await self._writer.do(Call(lambda store: presence.retire(store, worker), durable=False))

    async def workers(self) -> list[Presence]:
        """See :meth:`asyncqueue.drivers.base.Driver.workers`."""
        return await self._reader.read(presence.workers)

    async def called_off(self, worker: str) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.called_off`."""
        return await self._reader.read(lambda store: presence.called_off(store, worker))

    # Transactions

    def transaction(
        self, settlement: Settlement
    ) -> AbstractAsyncContextManager[sqlite3.Connection]:
        """See :meth:`asyncqueue.drivers.base.Driver.transaction`.

        It holds SQLite's one write lock from its begin to its end: keep the block short, every
        other writer waits for it. The connection may have served earlier blocks and may serve
        later ones; it is closed instead where the block raised, or did what outlasts it: a PRAGMA
        with an argument, ATTACH, temporary tables, functions and other callbacks. After the block
        the connection writes no more.
        """
        check_settlements([settlement])
        return self._open_file.completing.transaction(settlement)

    async def _all_gone(self, call: Call[int]) -> int:
        """Repeat a call that removes a bounded number of jobs until it finds no more."""
        gone = 0
        while True:
            removed = await self._writer.do(call)
            gone += removed
            if removed < operate.REMOVED_AT_ONCE:
                return gone


def _giving_back(claimed: Claimed) -> Call[int] | None:
    if not claimed.claims:
        return None
    return Call(lambda store: leases.give_back(store, claimed.claims), durable=False)
