"""The verbs of the Redis driver."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, ClassVar

import msgspec

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Order, Watch
from asyncqueue.drivers.redis import looking, moving, operating, presence
from asyncqueue.drivers.redis.connecting import Router
from asyncqueue.drivers.redis.diagnose import check_version, eviction_of, findings, read_info
from asyncqueue.drivers.redis.link import Link
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.drivers.redis.looking import Page
from asyncqueue.drivers.redis.place import check_prefix, check_timeout
from asyncqueue.drivers.redis.scripts import Scripts
from asyncqueue.drivers.redis.watching import Subscriptions
from asyncqueue.errors import DriverError
from asyncqueue.forks import tell_of_forks
from asyncqueue.record import Claimed, Settlement, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.redis.place import Place
    from asyncqueue.durations import Duration
    from asyncqueue.record import (
        Claim,
        Extension,
        Filter,
        Found,
        Hold,
        Latch,
        Presence,
        QueueCounts,
        Record,
        Source,
    )

log = logging.getLogger("asyncqueue.redis")


class RedisDriver(Driver):
    """Jobs in Redis 6.2 or newer, or Valkey: for any number of processes on any number of hosts.

    ``url``: ``redis://user:password@host:6379/0``, ``rediss://`` for TLS,
    ``redis+sentinel://sentinel1:26379,sentinel2:26379/name/0`` or
    ``redis+cluster://node1:6379,node2:6379``; behind its ``?`` may stand ``timeout``, ``tls``, and
    for TLS ``ca``, ``cert``, ``key``, ``check_hostname``. ``prefix``: all keys begin with
    ``{prefix:0}:``, so in a cluster one node holds them. ``timeout``: seconds to wait for a
    connection or an answer before ``DriverUnavailable``; wins over that of the URL. ``clock``:
    where the time comes from; by default it is the server's.

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
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        place = place_of(url)
        if timeout is not None:
            place = msgspec.structs.replace(place, timeout=check_timeout(timeout))
        self._prepare(place, check_prefix(prefix), clock)

    def _prepare(self, place: Place, prefix: str, clock: Clock) -> None:
        self.clock = clock
        self._place = place
        self._prefix = prefix
        tag = f"{{{prefix}:0}}"
        self._link = Link(Router(place, tag))
        self._scripts = Scripts(self._link, tag, self._now)
        self._watches = Subscriptions(Router(place, tag), tag)
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

        Raises DriverUnavailable where it cannot be reached, DriverError where it is too old. A
        server that may evict keys is used, with a warning.
        """
        if self._is_open:
            return
        if self._is_clone:
            await self._link.call("PING")
        else:
            self._inspect(read_info(await self._link.call("INFO")))
        self._is_open, self._is_inherited = True, False
        self._watches.start()

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
        await self._open_link.call("PING")

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """See :meth:`asyncqueue.drivers.base.Driver.diagnose`."""
        return findings(read_info(await self._open_link.call("INFO")))

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
        return await moving.enqueue(self._open_scripts, records)

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """See :meth:`asyncqueue.drivers.base.Driver.claim`."""
        if limit <= 0:
            return Claimed([])
        claiming = asyncio.ensure_future(
            moving.claim(self._open_scripts, sources, limit, lease, worker)
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # What the server hands out all the same must not wait for its lease to run out.
            giving_back = asyncio.create_task(self._give_back(claiming))
            self._giving_back.add(giving_back)
            giving_back.add_done_callback(self._giving_back.discard)
            raise

    async def _give_back(self, claiming: asyncio.Future[Claimed]) -> None:
        try:
            claims = (await claiming).claims
            await moving.settle(self._scripts, [_unclaimed(claim) for claim in claims])
        except DriverError as error:
            log.warning("Claims that nobody waits for are left to their leases: %s", error)

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """See :meth:`asyncqueue.drivers.base.Driver.extend`."""
        return await moving.extend(self._open_scripts, extensions, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """See :meth:`asyncqueue.drivers.base.Driver.settle`."""
        return await moving.settle(self._open_scripts, settlements)

    # Wait

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; what other processes do rings, too."""
        if self._is_inherited:
            self._check_open()
        return self._watches.open(topics)

    async def sweep(self) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.sweep`."""
        return await operating.sweep(self._open_scripts)

    async def prune(self, failed_retention: float) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.prune`."""
        return await operating.prune(self._open_scripts, failed_retention)

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
        return await looking.find(self._open_scripts, which, Page(limit, offset, cursor), order)

    async def counts(self) -> dict[str, QueueCounts]:
        """See :meth:`asyncqueue.drivers.base.Driver.counts`."""
        return await looking.counts(self._open_scripts)

    async def count(self, which: Filter) -> int:
        """How many jobs are meant."""
        return await looking.count(self._open_scripts, which)

    # Operate

    async def requeue(self, which: Filter) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.requeue`; each job moves atomically."""
        return await operating.requeue(self._open_scripts, which)

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """See :meth:`asyncqueue.drivers.base.Driver.cancel`."""
        return await operating.cancel(self._open_scripts, which, retention)

    async def delete(self, which: Filter) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.delete`."""
        return await operating.delete(self._open_scripts, which)

    async def pause(self, queues: Sequence[str], on: bool) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.pause`."""
        return await operating.pause(self._open_scripts, list(queues), on)

    async def paused(self) -> list[str]:
        """The names of the paused queues, sorted."""
        return await operating.paused(self._open_scripts)

    # Workers

    async def announce(self, worker: Presence, ttl: float) -> None:
        """See :meth:`asyncqueue.drivers.base.Driver.announce`."""
        await presence.announce(self._open_scripts, worker, ttl)

    async def retire(self, worker: str) -> None:
        """A worker ended: forget it."""
        await presence.retire(self._open_scripts, worker)

    async def workers(self) -> list[Presence]:
        """See :meth:`asyncqueue.drivers.base.Driver.workers`."""
        return await presence.workers(self._open_scripts)

    async def called_off(self, worker: str) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.called_off`."""
        return await presence.called_off(self._open_scripts, worker)

    def _now(self) -> str:
        """The time for scripts: empty means that of the server."""
        return "" if self.clock is SYSTEM_CLOCK else repr(self.clock.time())

    @property
    def _open_scripts(self) -> Scripts:
        self._check_open()
        return self._scripts

    @property
    def _open_link(self) -> Link:
        self._check_open()
        return self._link

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
