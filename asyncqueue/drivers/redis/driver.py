"""The verbs of the Redis driver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.redis import latches as latching
from asyncqueue.drivers.redis import (
    merging,
    moving,
    operating,
    permits,
    presence,
    spreading,
    storing,
)
from asyncqueue.drivers.redis.claiming import Wish
from asyncqueue.drivers.redis.handle import Handle
from asyncqueue.drivers.redis.merging import Page
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from asyncqueue.drivers.base import Order, Watch
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


class RedisDriver(Handle):
    """Jobs in Redis 6.2 or newer, or Valkey: for any number of processes on any number of hosts.

    ``url``: ``redis://user:password@host:6379/0``, ``rediss://`` for TLS,
    ``redis+sentinel://sentinel1:26379,sentinel2:26379/name/0`` or
    ``redis+cluster://node1:6379,node2:6379``; behind its ``?`` may stand ``timeout``, ``shards``,
    ``tls``, and for TLS ``ca``, ``cert``, ``key``, ``check_hostname``. ``prefix``: all keys begin
    with ``{prefix:0}:``, so in a cluster one node holds them. ``timeout``: seconds to wait for a
    connection or an answer before ``DriverUnavailable``; wins over that of the URL. ``clock``:
    where the time comes from; by default it is the server's.

    ``shards`` (1 to 256, default 1; wins over that of the URL) spreads the jobs of each queue over
    so many parts, ``{prefix:0}:`` and on, and so over the nodes of a cluster. It is fixed for as
    long as there are jobs: who opens the prefix with another number gets ConfigError. With more
    than one, jobs of equal priority are claimed in order of dispatch within each shard only, a
    ``dispatch_many`` is in one shard, and a node that is lost stops the jobs of its own shards.

    A stored job is as durable as the server makes it: see its ``appendonly`` and ``appendfsync``.
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
        """See :meth:`asyncqueue.drivers.base.Driver.enqueue`."""
        self.refuse_within(within)
        return await storing.enqueue(self._open_shards, records, latches)

    def before(self, records: Sequence[Record], following: Sequence[Record]) -> Sequence[Record]:
        """See :meth:`asyncqueue.drivers.base.Driver.before`."""
        return self._shards.before(records, following)

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """See :meth:`asyncqueue.drivers.base.Driver.claim`."""
        if limit <= 0:
            return Claimed([])
        wish = Wish(sources, limit, lease, worker)
        if self._waiting is not None:
            self._waiting.looks(sources)
        claiming = asyncio.ensure_future(self._claim(wish))
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # What the server hands out all the same must not wait for its lease to run out.
            wish.withdrawn = True
            if claiming.cancelling():  # By the end of asyncio.run(), which spares nobody.
                await self._giving_back.cut_off()
            else:
                self._giving_back.begin(claiming)
            raise
        if self._waiting is not None and claimed.claims:
            self._waiting.found(sources, claimed.claims[-1])
        return claimed

    async def claim_next(
        self, sources: Sequence[Source], lease: float, worker: str, watch: Watch, patience: float
    ) -> Claimed | None:
        """See :meth:`asyncqueue.drivers.base.Driver.claim_next`."""
        if self._waiting is None or not self._is_open:
            return await super().claim_next(sources, lease, worker, watch, patience)
        return await self._waiting.claim(Wish(sources, 1, lease, worker), watch, patience)

    def _claim(self, wish: Wish) -> Coroutine[Any, Any, Claimed]:
        shards = self._open_shards
        if shards.only is None:
            return self._claiming.claim(wish)
        return moving.claim(shards.only, wish.sources, wish.limit, wish.lease, wish.worker)

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """See :meth:`asyncqueue.drivers.base.Driver.extend`."""
        return await spreading.extend(self._open_shards, extensions, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        """See :meth:`asyncqueue.drivers.base.Driver.settle`."""
        return await spreading.settle(self._open_shards, settlements)

    async def sweep(self) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.sweep`."""
        return await operating.sweep(self._open_shards)

    async def prune(self, failed_retention: float) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.prune`."""
        return await operating.prune(self._open_shards, failed_retention)

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
        return await merging.find(self._open_shards, which, Page(limit, offset, cursor), order)

    async def counts(self) -> dict[str, QueueCounts]:
        """See :meth:`asyncqueue.drivers.base.Driver.counts`."""
        return await merging.counts(self._open_shards)

    async def count(self, which: Filter) -> int:
        """How many jobs are meant."""
        return await merging.count(self._open_shards, which)

    async def ahead(self, id: str) -> int | None:
        """See :meth:`asyncqueue.drivers.base.Driver.ahead`; counts those of its shard."""
        return await latching.ahead(self._open_shards, id)

    async def latches(self, ids: Sequence[str] | None = None) -> list[Tally]:
        """See :meth:`asyncqueue.drivers.base.Driver.latches`."""
        return await latching.latches(self._open_shards, ids)

    async def call_off(self, ids: Sequence[str]) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.call_off`."""
        return await latching.call_off(self._open_shards, ids)

    async def forget_latches(self, ids: Sequence[str]) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.forget_latches`."""
        return await latching.forget(self._open_shards, ids)

    # Permits

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """See :meth:`asyncqueue.drivers.base.Driver.acquire`."""
        return await permits.acquire(self._open_shards, key, holder, most, ttl)

    async def release(self, key: str, holder: str | None = None) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.release`."""
        return await permits.release(self._open_shards, key, holder)

    async def holders(self, key: str) -> list[Permit]:
        """See :meth:`asyncqueue.drivers.base.Driver.holders`."""
        return await permits.holders(self._open_shards, key)

    # Operate

    async def requeue(self, which: Filter) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.requeue`; each job moves atomically."""
        return await operating.requeue(self._open_shards, which)

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """See :meth:`asyncqueue.drivers.base.Driver.cancel`."""
        return await operating.cancel(self._open_shards, which, retention)

    async def delete(self, which: Filter) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.delete`."""
        return await operating.delete(self._open_shards, which)

    async def pause(self, queues: Sequence[str], on: bool) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.pause`."""
        return await operating.pause(self._open_shards, list(queues), on)

    async def paused(self) -> list[str]:
        """The names of the paused queues, sorted."""
        return await operating.paused(self._open_shards)

    # Workers

    async def announce(self, worker: Presence, ttl: float) -> None:
        """See :meth:`asyncqueue.drivers.base.Driver.announce`."""
        await presence.announce(self._open_shards, worker, ttl)

    async def retire(self, worker: str) -> None:
        """A worker ended: forget it."""
        await presence.retire(self._open_shards, worker)

    async def workers(self) -> list[Presence]:
        """See :meth:`asyncqueue.drivers.base.Driver.workers`."""
        return await presence.workers(self._open_shards)

    async def called_off(self, worker: str) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.called_off`."""
        return await presence.called_off(self._open_shards, worker)
