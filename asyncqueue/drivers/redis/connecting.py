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
    from collections.abc import Callable, Sequence

    from asyncqueue.drivers.redis.place import Address, Place
    from asyncqueue.drivers.redis.wire import Word

    AnyWire = TypeVar("AnyWire", bound=Wire)

SLOTS: Final = 16384


class Router:
    """Finds the server that holds the keys of a tag, and connects to it.

    Nothing is remembered but whom to ask first: every connection is made to whoever holds the
    keys at that moment.
    """

    def __init__(self, place: Place, tag: str) -> None:
        self.place = place
        self._tag = tag
        self._nodes = list(place.nodes)

    async def connect(self, make: Callable[[], AnyWire]) -> AnyWire:
        """A connection, made by ``make``, that is ready for commands.

        Raises DriverUnavailable or DriverError, within ``place.timeout``.
        """
        place = self.place
        try:
            async with asyncio.timeout(place.timeout):
                if place.kind == "standalone":
                    return await _connect(place, place.nodes[0], make, _greetings(place))
                address = await self._find()
                greetings = _greetings(place)
                if place.kind == "sentinel":
                    greetings.append(("ROLE",))
                return await _connect(place, address, make, greetings)
        except (OSError, ReplyError) as error:
            raise explain(error, place) from error

    async def _find(self) -> Address:
        """The server, as told by the first that answers."""
        patience = self.place.timeout / (len(self._nodes) + 1)
        reasons: list[str] = []
        for node in tuple(self._nodes):
            try:
                async with asyncio.timeout(patience):
                    return await self._ask(node)
            except (OSError, ReplyError, DriverUnavailable) as error:
                reasons.append(f"{shown(node)}: {error or 'no answer'}")
                self._nodes.remove(node)  # The next to ask is another.
                self._nodes.append(node)
        raise DriverUnavailable(
            f"None of {self.place} tells where the jobs are: {'; '.join(reasons)}."
        )

    async def _ask(self, node: Address) -> Address:
        place = self.place
        if place.kind == "sentinel":
            greetings = _auth(None, place.sentinel_password)
            question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.service)
            return _primary(place, await self._answer(node, greetings, question))
        greetings = _auth(place.username, place.password)
        return _holder(node, self._tag, await self._answer(node, greetings, ("CLUSTER", "SLOTS")))

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


def _holder(asked: Address, tag: str, reply: Any) -> Address:
    slot = crc_hqx(tag.strip("{}").encode(), 0) % SLOTS
    for first, last, primary, *_ in reply:
        if first <= slot <= last:
            host, port = primary[0], primary[1]
            return (host.decode() if host else asked[0]), port
    raise DriverUnavailable(f"nobody holds slot {slot}")


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
