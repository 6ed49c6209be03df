"""The way to the server: a connection that is made when it is needed, and again when it broke."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

from asyncqueue.drivers.redis.failures import explain, is_elsewhere
from asyncqueue.drivers.redis.wire import ConnectionEndedError, ReplyError, Wire
from asyncqueue.errors import DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.drivers.redis.place import Place
    from asyncqueue.drivers.redis.wire import Word

    AnyWire = TypeVar("AnyWire", bound=Wire)


async def connect(place: Place, make: Callable[[], AnyWire]) -> AnyWire:
    """A connection, made by ``make``, that is ready for commands. Bounded by ``place.timeout``."""
    try:
        async with asyncio.timeout(place.timeout):
            context = _tls(place) if place.tls else None
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_connection(make, place.host, place.port, ssl=context)
            await _greet(wire, place)
            return wire
    except (OSError, ReplyError) as error:
        raise explain(error, place) from error


async def _greet(wire: Wire, place: Place) -> None:
    greetings: list[Sequence[Word]] = []
    if place.password is not None:
        user = () if place.username is None else (place.username,)
        greetings.append(("AUTH", *user, place.password))
    if place.db:
        greetings.append(("SELECT", place.db))
    greetings.append(("PING",))
    try:
        _raise_first(await asyncio.gather(*[wire.call(words) for words in greetings]))
    except BaseException:
        wire.give_up(ConnectionEndedError("the server did not let us in"))
        raise


def _raise_first(replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply


def _tls(place: Place) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=place.ca)
    context.check_hostname = place.check_hostname
    if place.cert is not None:
        context.load_cert_chain(place.cert, place.key)
    return context


class Link:
    """Calls a server. Every call ends within ``place.timeout`` seconds without an answer.

    Raises DriverUnavailable where the server cannot be reached or cannot help at the moment, and
    DriverError where it refuses.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None

    async def call(self, *words: Word) -> Any:
        """The reply to a command."""
        return await self.ask(words)

    async def ask(self, words: Sequence[Word]) -> Any:
        """The reply to a command."""
        try:
            reply = await self._ask(words)
        except OSError as error:
            raise explain(error, self.place) from error
        if isinstance(reply, ReplyError):
            if is_elsewhere(reply) and self._wire is not None:
                self._wire.give_up(ConnectionEndedError("it led to a server that takes no writes"))
            raise explain(reply, self.place) from reply
        return reply

    async def close(self) -> None:
        """Close the connection. The next call would make a new one."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _ask(self, words: Sequence[Word]) -> Any:
        if self._wire is not None and self._wire.open:
            return await self._wire.call(words)
        async with asyncio.timeout(self.place.timeout):
            wire = await self._connected()
            return await wire.call(words)

    async def _connected(self) -> Wire:
        """Whoever comes while a connection is being made waits for the same."""
        if self._connecting is not None:
            # One that others began may fail just before it would have succeeded.
            with contextlib.suppress(DriverUnavailable):
                return await asyncio.shield(self._connecting)
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._made)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Wire:
        return await connect(self.place, lambda: Wire(self.place.timeout))

    def _made(self, connecting: asyncio.Task[Wire]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._wire = connecting.result()
