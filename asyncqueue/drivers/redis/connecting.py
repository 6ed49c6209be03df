"""Making a connection: to one server, and to whichever server holds the jobs."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from binascii import crc_hqx
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncqueue.drivers.redis.failures import explain
from asyncqueue.drivers.redis.place import shown
from asyncqueue.drivers.redis.wire import ConnectionEndedError, ReplyError, Wire
from asyncqueue.errors import DriverError, DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.drivers.redis.place import Address, Place
    from asyncqueue.drivers.redis.wire import Word

    AnyWire = TypeVar("AnyWire", bound=Wire)
    T = TypeVar("T")

SLOTS: Final = 16384
_WHO_HOLDS_WHAT: Final = ("CLUSTER", "SLOTS")


class Router:
    """Finds the servers that hold the keys of shards, and connects to them.

    Of a cluster it remembers who holds which shard until it is told that this is wrong; of
    sentinels nothing, so that every connection is made to whoever is the primary at that moment.
    ``tags`` are the hash tags of the shards.
    """

    def __init__(self, place: Place, tags: Sequence[str]) -> None:
        self.place = place
        self.unheard: Callable[[Sequence[Word], Any], object] | None = None
        """Told of commands whose callers were cancelled, and of their replies."""
        self._slots = [crc_hqx(tag.strip("{}").encode(), 0) % SLOTS for tag in tags]
        self._nodes = list(place.nodes)
        self._holders: dict[int, Address] = {}

    @property
    def divided(self) -> bool:
        """Whether shards may be on servers of their own."""
        return self.place.kind == "cluster"

    def known(self, shard: int) -> Address | None:
        """The server that held this shard when it was last looked for."""
        return self._holders.get(shard)

    def forget(self, shard: int) -> None:
        """It is not where it was."""
        self._holders.pop(shard, None)

    def forget_server(self, address: Address | None) -> None:
        """A server does not answer: whatever it held may be elsewhere by now."""
        self._holders = {one: at for one, at in self._holders.items() if at != address}

    async def holder(self, shard: int) -> Address | None:
        """Who holds this shard; None where there is only one server to connect to.

        Raises DriverUnavailable or DriverError, within ``place.timeout``.
        """
        if not self.divided:
            return None
        if shard not in self._holders:
            try:
                async with asyncio.timeout(self.place.timeout):
                    self._holders = await self._find(self._ask_for_holders)
            except OSError as error:
                raise explain(error, self.place) from error
        if shard not in self._holders:
            raise DriverUnavailable(f"No server of {self.place} holds slot {self._slots[shard]}.")
        return self._holders[shard]

    async def connect(self, make: Callable[[], AnyWire], address: Address | None) -> AnyWire:
        """A connection, made by ``make``, that is ready for commands.

        Raises DriverUnavailable or DriverError, within ``place.timeout``.
        """
        place = self.place
        try:
            async with asyncio.timeout(place.timeout):
                greetings = _greetings(place)
                if place.kind == "sentinel":
                    address = await self._find(self._ask_for_primary)
                    greetings.append(("ROLE",))
                return await _connect(place, address or place.nodes[0], make, greetings)
        except (OSError, ReplyError) as error:
            raise explain(error, place) from error

    async def _find(self, ask: Callable[[Address], Awaitable[T]]) -> T:
        """What the first says that answers."""
        patience = self.place.timeout / (len(self._nodes) + 1)
        reasons: list[str] = []
        for node in tuple(self._nodes):
            try:
                async with asyncio.timeout(patience):
                    return await ask(node)
            except (OSError, ReplyError, DriverUnavailable) as error:
                reasons.append(f"{shown(node)}: {error or 'no answer'}")
                self._nodes.remove(node)  # The next to ask is another.
                self._nodes.append(node)
        raise DriverUnavailable(
            f"None of {self.place} tells where the jobs are: {'; '.join(reasons)}."
        )

    async def _ask_for_primary(self, node: Address) -> Address:
        place = self.place
        greetings = _auth(None, place.sentinel_password)
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.service)
        return _primary(place, await self._answer(node, greetings, question))

    async def _ask_for_holders(self, node: Address) -> dict[int, Address]:
        greetings = _auth(self.place.username, self.place.password)
        return _holders(node, self._slots, await self._answer(node, greetings, _WHO_HOLDS_WHAT))

    async def _answer(
        self, node: Address, greetings: list[Sequence[Word]], question: Sequence[Word]
    ) -> Any:
        wire = await _connect(self.place, node, lambda: Wire(self.place.timeout), greetings)
        try:
            reply = await wire.call(question)
        finally:
            wire.give_up(ConnectionEndedError("it was asked one question"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.shield(wire.ended)
        if isinstance(reply, ReplyError):
            raise reply
        return reply


def _primary(place: Place, reply: Any) -> Address:
    if not reply:
        raise DriverUnavailable(f"no server is known here as {place.service!r}")
    host, port = reply
    return host.decode(), int(port)


def _holders(asked: Address, slots: Sequence[int], reply: Any) -> dict[int, Address]:
    """Who holds which shard, of those that anybody holds."""
    holders: dict[int, Address] = {}
    for first, last, primary, *_ in reply:
        host, port = primary[0], primary[1]
        address = (host.decode() if host else asked[0]), port
        holders |= {shard: address for shard, slot in enumerate(slots) if first <= slot <= last}
    if not holders:
        raise DriverUnavailable("nobody holds these slots")
    return holders


def _auth(username: str | None, password: str | None) -> list[Sequence[Word]]:
    if password is None:
        return []
    return [("AUTH", password) if username is None else ("AUTH", username, password)]


def _greetings(place: Place) -> list[Sequence[Word]]:
    greetings = _auth(place.username, place.password)
    if place.db:
        greetings.append(("SELECT", place.db))
    return greetings


async def _connect(
    place: Place,
    address: Address,
    make: Callable[[], AnyWire],
    greetings: list[Sequence[Word]],
) -> AnyWire:
    context = _tls(place) if place.tls else None
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(make, *address, ssl=context)
    try:
        replies = await asyncio.gather(*[wire.call(words) for words in (*greetings, ("PING",))])
        _check(replies)
    except BaseException:
        wire.give_up(ConnectionEndedError("the server did not let us in"))
        raise
    return wire


def _check(replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
        if isinstance(reply, list) and reply[0] != b"master":  # The answer to ROLE.
            raise ReplyError("READONLY it was the primary, and is a replica now")


def _tls(place: Place) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=place.ca)
        context.check_hostname = place.check_hostname
        if place.cert is not None:
            context.load_cert_chain(place.cert, place.key)
    except (OSError, ssl.SSLError) as error:
        raise DriverError(f"The TLS files of {place} cannot be used: {error}.") from error
    return context
