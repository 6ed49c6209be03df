"""A handle on the keys: how it comes and goes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar, Self

import msgspec

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Watch
from asyncqueue.drivers.redis.claiming import Claiming
from asyncqueue.drivers.redis.connecting import Router
from asyncqueue.drivers.redis.diagnose import check_version, eviction_of, findings, read_info
from asyncqueue.drivers.redis.giving_back import GivingBack
from asyncqueue.drivers.redis.link import Link
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.drivers.redis.lookout import Lookout
from asyncqueue.drivers.redis.place import check_prefix, check_shards, check_timeout
from asyncqueue.drivers.redis.shards import Shards, tags_of
from asyncqueue.drivers.redis.waiting_claims import WaitingClaims
from asyncqueue.drivers.redis.watching import Subscriptions
from asyncqueue.errors import DriverError
from asyncqueue.forks import tell_of_forks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.drivers.redis.place import Place
    from asyncqueue.durations import Duration

log = logging.getLogger("asyncqueue.redis")


class Handle(Driver):
    """Everything of the driver but its verbs."""

    name: ClassVar[str] = "redis"
    remote: ClassVar[bool] = True
    enqueues_at_once: ClassVar[int] = 2

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
        self._giving_back = GivingBack(self._shards)
        self._waiting = self._make_waiting(router)
        self._watches = Subscriptions(
            router, tags, None if self.fifo else self._heard, self._waiting
        )
        router.unheard = self._giving_back.unheard
        self._claiming = Claiming(
            self._shards, self._lookout, self._monotonic, self._giving_back.begin
        )
        self._is_open = False
        self._is_clone = False
        self._is_inherited = False
        tell_of_forks(self)

    def clone(self) -> Self:
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
        self._giving_back.forget()
        if self._waiting is not None:
            self._waiting.forget()
        self._link.forget()
        self._watches.forget()

    async def close(self) -> None:
        """Let go of the connections. Harmless when it is closed."""
        self._is_open = self._is_inherited = False
        await self._watches.stop()
        await self._giving_back.ended()
        if self._waiting is not None:
            self._waiting.close()
        await self._link.close()

    async def ping(self) -> None:
        """Raise DriverUnavailable unless the server answers."""
        await self._open_shards.every(lambda shard: shard.call("PING"))

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """See :meth:`asyncqueue.drivers.base.Driver.diagnose`."""
        self._check_open()
        return [finding for info in await self._servers() for finding in findings(info)]

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; what other processes do rings, too."""
        if self._is_inherited:
            self._check_open()
        return self._watches.open(topics)

    # Inside

    def _make_waiting(self, router: Router) -> WaitingClaims | None:
        """For the only shard, by whose clock jobs are due: a server waits by its own."""
        if self._shards.only is None or self.clock is not SYSTEM_CLOCK:
            return None
        return WaitingClaims(router, self._shards.only, self._giving_back.begin)

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
