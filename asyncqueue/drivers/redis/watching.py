"""Wake-ups: one subscribed connection per handle rings the watches of this process.

A notification carries nothing but the name of its channel, which is that of a topic. While the
connection is lost nothing rings; when it is back, everything does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any, Final, cast

from asyncqueue.drivers.base import Watch, Watches
from asyncqueue.drivers.redis.failures import explain
from asyncqueue.drivers.redis.wire import ConnectionEndedError, ReplyError, Wire
from asyncqueue.errors import DriverError, DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncqueue.drivers.redis.connecting import Router
    from asyncqueue.drivers.redis.waiting_claims import WaitingClaims

SHORTEST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries to subscribe."""
ANY_JOB: Final = "jobs"
"""Whoever watches any job watches this, too: where nobody does, the end of none is told."""

log = logging.getLogger("asyncqueue.redis")


class SubscribedWire(Wire):
    """A connection on which notifications come between answers."""

    def __init__(self, patience: float, notified: Callable[[bytes, bytes, bytes], None]) -> None:
        super().__init__(patience)
        self._notified = notified
        self.refusal: ReplyError | None = None
        """The answer to a subscription that was refused, which ended the connection."""

    def received(self, reply: Any) -> None:
        """A whole reply or notification came."""
        notice = cast("list[Any]", reply) if isinstance(reply, list) else ()
        if notice and notice[0] in _NOTICES:
            self._notified(notice[0], notice[1], notice[2])
        elif isinstance(reply, ReplyError) and not self._waiting:
            self.refusal = reply
            self.give_up(reply)
        else:
            super().received(reply)


_NOTICES: Final = (b"message", b"subscribe", b"unsubscribe")


class Subscriptions(Watches):
    """The open watches of one handle; what they watch is subscribed to while it is open.

    ``heard`` is called with each ring: the shard, the topic and what was told with it. Watches are
    not rung by what comes to them by claims that are ``waiting``.
    """

    def __init__(
        self,
        router: Router,
        tags: Sequence[str],
        heard: Callable[[int, str, bytes], None] | None = None,
        waiting: WaitingClaims | None = None,
    ) -> None:
        super().__init__()
        self._heard = heard
        self._waiting = waiting
        # A server of a cluster tells of nobody but its own subscribers how many there are.
        groups = [[shard] for shard in range(len(tags))] if router.divided else [range(len(tags))]
        self._listeners = [
            Listener(router, {shard: f"{tags[shard]}:" for shard in group}, self)
            for group in groups
        ]
        self._of = {shard: one for one in self._listeners for shard in one.prefixes}

    def open(self, topics: Iterable[str]) -> Watch:
        """A new watch on these topics."""
        watch = super().open(topics)
        self._follow()
        return watch

    def discard(self, watch: Watch) -> None:
        """Forget this watch."""
        super().discard(watch)
        if self._waiting is not None:
            self._waiting.leave(watch)
        self._follow()

    def hears(self, shard: int, topic: str) -> bool:
        """Whether every ring of this topic in this shard is heard at the moment."""
        return self._of[shard].hears(shard, topic)

    def heard(self, shard: int, topic: str, told: bytes) -> None:
        """A ring came: ring the watches on its topic."""
        if self._heard is not None:
            self._heard(shard, topic, told)
        for watch in self.on(topic):
            if self._waiting is None or not self._waiting.serves(watch, topic, told):
                watch.ring()

    def start(self) -> None:
        """The handle was opened."""
        for listener in self._listeners:
            listener.start()

    async def stop(self) -> None:
        """The handle is closed: nothing rings any more."""
        for listener in self._listeners:
            await listener.stop()

    def forget(self) -> None:
        """Leave the connections to the process from which this one was forked."""
        for listener in self._listeners:
            listener.forget()

    def _follow(self) -> None:
        for listener in self._listeners:
            listener.follow()


class Listener:
    """One subscribed connection: to the server that holds these shards.

    ``prefixes`` are those of the channels of each shard.
    """

    def __init__(
        self,
        router: Router,
        prefixes: dict[int, str],
        watches: Subscriptions,
    ) -> None:
        self.prefixes = prefixes
        self._router = router
        self._place = router.place
        self._shards = {prefix: shard for shard, prefix in prefixes.items()}
        self._watches = watches
        self._wire: SubscribedWire | None = None
        self._subscribed: set[str] = set()
        self._confirmed: set[bytes] = set()
        self._listening: asyncio.Task[None] | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._is_open = False

    def hears(self, shard: int, topic: str) -> bool:
        """Whether every ring of this topic in this shard is heard at the moment."""
        return f"{self.prefixes[shard]}{topic}".encode() in self._confirmed

    def start(self) -> None:
        """The handle was opened."""
        self._is_open = True
        self.follow()

    async def stop(self) -> None:
        """The handle is closed: nothing rings any more."""
        self._is_open = False
        listening, self._listening = self._listening, None
        if listening is None:
            return
        if self._home is asyncio.get_running_loop():
            listening.cancel()
            await asyncio.wait([listening])
        elif self._home is not None:
            with contextlib.suppress(RuntimeError):  # That loop is closed.
                self._home.call_soon_threadsafe(listening.cancel)

    def forget(self) -> None:
        """Leave the connection to the process from which this one was forked."""
        self._is_open = False
        self._listening = self._home = self._wire = None
        self._confirmed = set()

    def follow(self) -> None:
        """Subscribe to what is watched, and to nothing else: on the loop that listens."""
        if not self._is_open:
            return
        loop = asyncio.get_running_loop()
        if self._listening is not None and self._home is not loop and self._home is not None:
            if not self._home.is_closed():
                with contextlib.suppress(RuntimeError):  # It closes at this moment.
                    self._home.call_soon_threadsafe(self.follow)
                return
            self._listening = self._wire = None
        if self._listening is None:
            if not self._watches.idle:
                self._home, self._listening = loop, loop.create_task(self._listen())
            return
        wire = self._wire
        if wire is None or not wire.open:
            return
        wanted = self._watches.topics()
        if any(topic.startswith("job:") for topic in wanted):
            wanted.add(ANY_JOB)
        if new := wanted - self._subscribed:
            wire.tell(("SUBSCRIBE", *self._channels(new)))
        if old := self._subscribed - wanted:
            wire.tell(("UNSUBSCRIBE", *self._channels(old)))
        self._subscribed = wanted

    def _channels(self, topics: Iterable[str]) -> list[str]:
        return [prefix + topic for topic in topics for prefix in self.prefixes.values()]

    async def _listen(self) -> None:
        pause = SHORTEST_PAUSE
        told = False
        while True:
            try:
                await self._session()
            except DriverError as error:
                if not told:
                    log.warning("No wake-ups come from %s, polling instead: %s", self._place, error)
                    told = True
            else:
                told = False
            pause = SHORTEST_PAUSE if self._subscribed else min(pause * 2, LONGEST_PAUSE)
            self._subscribed = set()
            await asyncio.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311 - spreads workers

    async def _session(self) -> None:
        """Be subscribed until the connection ends, or leads to a server that holds nothing here."""
        shard = min(self.prefixes)
        address = await self._router.holder(shard)
        try:
            wire = await self._router.connect(
                lambda: SubscribedWire(self._place.timeout, self._notified), address
            )
        except DriverUnavailable:
            self._router.forget_server(address)
            raise
        self._wire, self._subscribed = wire, set()
        try:
            self.follow()
            while wire.open and address == await self._router.holder(shard):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._place.timeout):
                        await asyncio.shield(wire.ended)
                if wire.open:
                    reply = await wire.call(("PING",))
                    if isinstance(reply, ReplyError):
                        raise explain(reply, self._place)
            if wire.refusal is not None:
                self._subscribed = set()  # Nothing is: the next try may wait.
                raise explain(wire.refusal, self._place)
        except OSError as error:
            raise explain(error, self._place) from error
        finally:
            self._wire, self._confirmed = None, set()
            wire.give_up(ConnectionEndedError("the connection was closed here"))

    def _notified(self, kind: bytes, channel: bytes, told: bytes) -> None:
        if kind == b"unsubscribe":
            self._confirmed.discard(channel)
            return
        # A subscription rings, too: what happened before it was made came to nobody's notice.
        if kind == b"subscribe":
            self._confirmed.add(channel)
            told = b""
        prefix, brace, rest = channel.decode("utf-8", "replace").partition("}:")
        shard, topic = self._shards.get(prefix + brace), rest
        if shard is not None:
            self._watches.heard(shard, topic, told)
