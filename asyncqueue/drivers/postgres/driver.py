"""The verbs of the PostgreSQL driver."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.postgres import (
    claim,
    enqueue,
    giving_back,
    latches,
    leases,
    look,
    operate,
    permits,
    presence,
)
from asyncqueue.drivers.postgres.handle import LONG, Handle
from asyncqueue.drivers.storable import check_records, check_settlements
from asyncqueue.errors import DriverError
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.drivers.base import Order
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import (
        Claim,
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


class PostgresDriver(Handle):
    """Jobs in a PostgreSQL database: durable, for any number of processes and hosts.

    ``dsn`` is a URL as asyncpg and libpq take it. ``schema``, ``table`` and ``failed_table`` name
    what is created when it is missing. ``pool_size``: connections at most for the verbs, for
    looking around and for handlers' transactions, each (default 10). ``timeout``: seconds within
    which a verb is done or raises DriverUnavailable (default 5). ``statement_cache_size``:
    prepared statements kept for each connection; 0 behind a pooler in transaction mode.
    ``listen_dsn``: where to listen, if ``dsn`` leads to such a pooler. ``clock``: where the time
    comes from; by default the server's.

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

        ``within`` is a connection to the same database in a transaction: one of asyncpg, an
        ``AsyncConnection`` of psycopg 3, or an ``AsyncSession`` or ``AsyncConnection`` of
        SQLAlchemy on one of these. Raises TransactionUnsupported for anything else.
        """
        check_records(records)
        if within is not None:
            session = await self._opened()
            return await session.within(
                within, lambda store: enqueue.enqueue(store, records, latches)
            )
        if not records and not latches:
            return []
        atomic = bool(latches) or not enqueue.is_one_statement(records)
        return await self._work(
            lambda store: enqueue.enqueue(store, records, latches), atomic=atomic
        )

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """See :meth:`asyncqueue.drivers.base.Driver.claim`."""
        if limit <= 0 or not sources:
            return Claimed([])
        session = await self._opened()
        await session.undone()
        if self._unsure.of_claims:
            await session.work_in_steps(self._unsure.give_back)
        handout = self._unsure.new_handout()
        marks, began = self._marks, time.monotonic()
        claimer = claim.Claimer(worker, lease, handout, self._crowded, marks, began, [])
        claims: list[Claim] = []

        async def give_back(_: Claimed) -> None:
            if claims:
                await session.work_in_steps(lambda work: giving_back.give_back(work, claims))

        async def give_back_unseen() -> None:
            self._unsure.lost_handout(claimer.handout)
            await session.work_in_steps(self._unsure.give_back)
            await session.told()

        try:
            return await session.work_in_steps(
                lambda work: claim.claim(work, sources, limit, claimer, claims),
                undo=give_back,
                undo_unseen=give_back_unseen,
            )
        except DriverError:
            self._unsure.lost_handout(claimer.handout)
            raise

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """See :meth:`asyncqueue.drivers.base.Driver.extend`."""
        if not extensions:
            return []
        return await self._work(lambda store: leases.extend(store, extensions, lease))

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool | Counted]:
        """See :meth:`asyncqueue.drivers.base.Driver.settle`."""
        check_settlements(settlements)
        return await self._unsure.settle(self._work, settlements) if settlements else []

    async def sweep(self) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.sweep`."""
        returned, more = 0, True
        while more:
            swept = await self._work(leases.sweep)
            returned, more = returned + swept.returned, swept.more
            if swept.left:
                returned += await self._end(swept.left)
        return returned

    async def _end(self, left: Sequence[leases.Left]) -> int:
        return await self._work(lambda store: leases.end(store, left), atomic=True)

    async def prune(self, failed_retention: float) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.prune`."""
        return await self._all_gone(lambda store: operate.prune(store, failed_retention))

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
        return await self._look(lambda store: look.find(store, which, page, order))

    async def counts(self) -> dict[str, QueueCounts]:
        """See :meth:`asyncqueue.drivers.base.Driver.counts`."""
        return await self._look(look.counts)

    async def count(self, which: Filter) -> int:
        """How many jobs are meant."""
        return await self._look(lambda store: look.count(store, which))

    async def ahead(self, id: str) -> int | None:
        """See :meth:`asyncqueue.drivers.base.Driver.ahead`."""
        return await self._look(lambda store: look.ahead(store, id))

    # Latches

    async def latches(self, ids: Sequence[str] | None = None) -> list[Tally]:
        """See :meth:`asyncqueue.drivers.base.Driver.latches`."""
        return await self._look(lambda store: latches.tallies(store, ids))

    async def call_off(self, ids: Sequence[str]) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.call_off`."""
        return await self._work(lambda store: latches.call_off(store, ids), atomic=True)

    async def forget_latches(self, ids: Sequence[str]) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.forget_latches`."""
        return await self._operate(lambda store: latches.forget(store, ids))

    # Permits

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """See :meth:`asyncqueue.drivers.base.Driver.acquire`."""
        return await self._work(
            lambda store: permits.acquire(store, key, holder, most, ttl), atomic=True
        )

    async def release(self, key: str, holder: str | None = None) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.release`."""
        return await self._work(lambda store: permits.release(store, key, holder), atomic=True)

    async def holders(self, key: str) -> list[Permit]:
        """See :meth:`asyncqueue.drivers.base.Driver.holders`."""
        return await self._look(lambda store: permits.holders(store, key))

    # Operate

    async def requeue(self, which: Filter) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.requeue`."""
        return await self._operate(lambda store: operate.requeue(store, which))

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """See :meth:`asyncqueue.drivers.base.Driver.cancel`."""
        return await self._operate(lambda store: operate.cancel(store, which, retention))

    async def delete(self, which: Filter) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.delete`."""
        gone = await self._all_gone(lambda store: operate.delete(store, which))
        return gone + await self._all_gone(
            lambda store: operate.delete_linked(store, which), atomic=True
        )

    async def pause(self, queues: Sequence[str], on: bool) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.pause`."""
        return await self._work(lambda store: operate.pause(store, queues, on))

    async def paused(self) -> list[str]:
        """The names of the paused queues, sorted."""
        return await self._work(operate.paused)

    # Workers

    async def announce(self, worker: Presence, ttl: float) -> None:
        """See :meth:`asyncqueue.drivers.base.Driver.announce`."""
        await self._work(lambda store: presence.announce(store, worker, ttl))

    async def retire(self, worker: str) -> None:
        """A worker ended: forget it."""
        await self._work(lambda store: presence.retire(store, worker))

    async def workers(self) -> list[Presence]:
        """See :meth:`asyncqueue.drivers.base.Driver.workers`."""
        return await self._look(presence.workers)

    async def called_off(self, worker: str) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.called_off`."""
        return await self._work(lambda store: presence.called_off(store, worker))

    # Transactions

    def transaction(self, settlement: Settlement) -> AbstractAsyncContextManager[Any]:
        """See :meth:`asyncqueue.drivers.base.Driver.transaction`.

        Gives an asyncpg connection of its own, which is of no use after the block. Transactions
        inside the block become savepoints.
        """
        check_settlements([settlement])
        return self._transaction(settlement)

    @contextlib.asynccontextmanager
    async def _transaction(self, settlement: Settlement) -> AsyncGenerator[Any]:
        session = await self._opened()
        async with session.completing.transaction(settlement) as connection:
            yield connection
        self._unsure.found([settlement])

    async def _all_gone(
        self, removing: Callable[[Store], Awaitable[int]], *, atomic: bool = False
    ) -> int:
        """Repeat a call that removes a bounded number of jobs until it finds no more."""
        session = await self._opened()
        gone = 0
        while True:
            removed = await session.operate(removing, LONG, atomic=atomic)
            gone += removed
            if removed < operate.REMOVED_AT_ONCE:
                return gone
