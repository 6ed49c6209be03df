"""The verbs of the Redis driver."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Order, Watch
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
from asyncqueue.drivers.redis.claiming import Claiming, Wish
from asyncqueue.drivers.redis.connecting import Router
from asyncqueue.drivers.redis.diagnose import check_version, eviction_of, findings, read_info
from asyncqueue.drivers.redis.link import Link
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.drivers.redis.lookout import Lookout
from asyncqueue.drivers.redis.merging import Page
from asyncqueue.drivers.redis.place import check_prefix, check_shards, check_timeout
from asyncqueue.drivers.redis.shards import Shards, tags_of
from asyncqueue.drivers.redis.watching import Subscriptions
from asyncqueue.errors import DriverError
from asyncqueue.forks import tell_of_forks
from asyncqueue.record import Claimed, Settlement, State

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from asyncqueue.drivers.redis.claiming import Told
    from asyncqueue.drivers.redis.place import Place
    from asyncqueue.durations import Duration
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
        Source,
        Tally,
    )

log = logging.getLogger("asyncqueue.redis")


class RedisDriver(Driver):
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

    name: ClassVar[str] = "redis"
    remote: ClassVar[bool] = True

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "asyncqueue",
        timeout: Duration | None = None,
        shards: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        place = place_of(url)
        if timeout is not None:
            place = msgspec.structs.replace(place, timeout=check_timeout(timeout))
        if shards is not None:
            place = msgspec.structs.replace(place, shards=check_shards(shards))
        self._prepare(place, check_prefix(prefix), clock)

    def _prepare(self, place: Place, prefix: str, clock: Clock) -> None:
        self.clock = clock
        self._place = place
        self._prefix = prefix
        self.fifo = place.shards == 1
        tags = tags_of(prefix, place.shards)
        router = Router(place, tags)
        self._link = Link(router)
        self._shards = Shards(self._link, prefix, place.shards, self._now)
        self._lookout = Lookout(place.shards, self._hears)
        self._watches = Subscriptions(router, tags, None if self.fifo else self._heard)
        self._claiming = Claiming(self._shards, self._lookout, self._monotonic, self._too_late)
        self._is_open = False
        self._is_clone = False
        self._is_inherited = False
        self._giving_back: set[asyncio.Task[None]] = set()
        tell_of_forks(self)

    def clone(self) -> RedisDriver:
        """A second, unopened handle on the same store, with its own connections."""
        twin = type(self).__new__(type(self))
        twin._prepare(self._place, self._prefix, self.clock)  # noqa: SLF001 - of its own class
        twin._is_clone = True  # noqa: SLF001
        return twin

    def location(self) -> str:
        """The URL without secrets and options."""
        return str(self._place)

    async def open(self) -> None:
        """Connect, and see whether the server is fit to hold jobs. Harmless when it is open.

        Raises DriverUnavailable where it cannot be reached, DriverError where it is too old,
        ConfigError where the jobs are spread over another number of shards. A server that may
        evict keys is used, with a warning.
        """
        if self._is_open:
            return
        try:
            await self._look_around()
        except BaseException:
            await self._link.close()
            raise
        self._is_open, self._is_inherited = True, False
        self._watches.start()

    async def _look_around(self) -> None:
        if not self._is_clone:
            for info in await self._servers():
                self._inspect(info)
        elif self.fifo:
            await self._link.call("PING")
            return
        await self._shards.meet()

    async def _servers(self) -> list[dict[str, str]]:
        """What each server that holds jobs says of itself."""
        told = await self._shards.some(lambda shard: shard.call("INFO"))
        infos = [read_info(one) for one in told]
        return list({info.get("run_id", ""): info for info in infos}.values())

    def _inspect(self, info: dict[str, str]) -> None:
        check_version(info, self._place)
        policy = eviction_of(info)
        if policy is not None:
            log.warning(
                "The server %s has maxmemory-policy %s: it may throw away jobs when memory is "
                "short. Set maxmemory-policy noeviction.",
                self._place,
                policy,
            )

    def forked(self) -> None:
        """This is a child process: connections and tasks are those of its parent."""
        self._is_inherited = self._is_inherited or self._is_open
        self._is_open = False
        self._giving_back = set()
        self._link.forget()
        self._watches.forget()

    async def close(self) -> None:
        """Let go of the connections. Harmless when it is closed."""
        self._is_open = self._is_inherited = False
        await self._watches.stop()
        loop = asyncio.get_running_loop()
        giving_back = {task for task in self._giving_back if task.get_loop() is loop}
        if giving_back:
            await asyncio.wait(giving_back)
        await self._link.close()

    async def ping(self) -> None:
        """Raise DriverUnavailable unless the server answers."""
        await self._open_shards.every(lambda shard: shard.call("PING"))

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """See :meth:`asyncqueue.drivers.base.Driver.diagnose`."""
        self._check_open()
        return [finding for info in await self._servers() for finding in findings(info)]

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

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """See :meth:`asyncqueue.drivers.base.Driver.claim`."""
        if limit <= 0:
            return Claimed([])
        wish = Wish(sources, limit, lease, worker)
        claiming = asyncio.ensure_future(self._claim(wish))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # What the server hands out all the same must not wait for its lease to run out.
            wish.withdrawn = True
            self._too_late(claiming)
            raise

    def _claim(self, wish: Wish) -> Coroutine[Any, Any, Claimed]:
        shards = self._open_shards
        if shards.only is None:
            return self._claiming.claim(wish)
        return moving.claim(shards.only, wish.sources, wish.limit, wish.lease, wish.worker)

    def _too_late(self, claiming: asyncio.Future[Claimed] | asyncio.Task[Told]) -> None:
        giving_back = asyncio.create_task(self._give_back(claiming))
        self._giving_back.add(giving_back)
        giving_back.add_done_callback(self._giving_back.discard)

    async def _give_back(self, claiming: asyncio.Future[Claimed] | asyncio.Task[Told]) -> None:
        try:
            claims = (await claiming).claims
            await spreading.settle(self._shards, [_unclaimed(claim) for claim in claims])
        except DriverError as error:
            log.warning("Claims that nobody waits for are left to their leases: %s", error)

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """See :meth:`asyncqueue.drivers.base.Driver.extend`."""
        return await spreading.extend(self._open_shards, extensions, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        """See :meth:`asyncqueue.drivers.base.Driver.settle`."""
        return await spreading.settle(self._open_shards, settlements)

    # Wait

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; what other processes do rings, too."""
        if self._is_inherited:
            self._check_open()
        return self._watches.open(topics)

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

    def _hears(self, shard: int, queue: str) -> bool:
        return self._watches.hears(shard, f"queue:{queue}")

    def _heard(self, shard: int, topic: str, told: bytes) -> None:
        kind, _, queue = topic.partition(":")
        if kind == "queue":
            self._lookout.heard(shard, queue, told)

    def _monotonic(self) -> float:
        return self.clock.monotonic()

    def _now(self) -> str:
        """The time for scripts: empty means that of the server."""
        return "" if self.clock is SYSTEM_CLOCK else repr(self.clock.time())

    @property
    def _open_shards(self) -> Shards:
        self._check_open()
        return self._shards

    def _check_open(self) -> None:
        if self._is_inherited:
            raise DriverError(
                f"The redis driver on {self._place} was opened before this process was forked; "
                "open a queue of its own in each process, or close and open the driver here."
            )
        if not self._is_open:
            raise DriverError(f"The redis driver on {self._place} is closed; open it first.")


def _unclaimed(claim: Claim) -> Settlement:
    """As if it had not been claimed; only the token remembers."""
    return Settlement(
        claim.id, claim.token, State.PENDING, claim.attempts - 1, exceptions=claim.exceptions
    )
