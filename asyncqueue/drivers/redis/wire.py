"""One connection to a server. Commands are sent at once, answers come in their order.

It asks more of a connection than clients with a pool do: many calls share one without waiting for
each other, and a caller who is cancelled breaks nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Word = str | bytes | int | float

_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


_packed: Final = cast(
    "Callable[[tuple[Word, ...]], bytes]",  # Its own stub says a tuple of one word.
    hiredis.pack_command,
)


class ReplyError(Exception):
    """What the server answered instead of a reply; its first word is the kind of error."""


class ConnectionEndedError(ConnectionError):
    """The server, or something on the way, ended the connection."""


class SilenceError(TimeoutError):
    """The server did not answer in time."""


class Wire(asyncio.Protocol):
    """A connection that is given up when the server is silent for ``patience`` seconds."""

    def __init__(self, patience: float) -> None:
        self.unheard: Callable[[Sequence[Word], Any], object] | None = None
        """Told of commands whose callers were cancelled, and of their replies."""
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._waiting: deque[tuple[asyncio.Future[Any], float, Sequence[Word]]] = deque()
        self._heard = self._loop.time()
        self._watchdog: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._gave_up: Exception | None = None
        self._held: list[bytes] | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @property
    def open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of the protocol of asyncio."""
        # Those of uvloop are not of this class, but of its kind.
        self._transport = cast("asyncio.Transport", transport)
        _keep_alive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        """Part of the protocol of asyncio."""
        self._heard = self._loop.time()
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self.received(reply)
        except (hiredis.HiredisError, UnicodeError) as error:
            self.give_up(ConnectionEndedError(f"what came is not the Redis protocol: {error}"))

    def received(self, reply: Any) -> None:
        """A whole reply came."""
        if self._waiting:
            future, _, words = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)
            elif self.unheard is not None:
                self.unheard(words, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of the protocol of asyncio."""
        self._transport = None
        if self._watchdog is not None:
            self._watchdog.cancel()
        error = self._gave_up or ConnectionEndedError(
            str(exc) if exc else "the connection was closed"
        )
        error.__cause__ = error.__cause__ or exc
        while self._waiting:
            future = self._waiting.popleft()[0]
            if not future.done():
                future.set_exception(error)
        if not self.ended.done():
            self.ended.set_result(None)

    def call(self, words: Sequence[Word]) -> asyncio.Future[Any]:
        """Send a command; the future will hold the reply, a :class:`ReplyError` included."""
        future = self._loop.create_future()
        if self._transport is None or not self.open:
            future.set_exception(self._gave_up or ConnectionEndedError("the connection is closed"))
            return future
        if self._held is None:
            self._transport.write(_packed(tuple(words)))
        else:
            self._held.append(_packed(tuple(words)))
        self._waiting.append((future, self._loop.time(), words))
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._patience, self._watch)
        return future

    async def step(self, commands: Sequence[Sequence[Word]]) -> Any:
        """The replies to commands that are executed as one; or the first error among them."""
        self.hold()
        calls = [self.call(words) for words in (("MULTI",), *commands, ("EXEC",))]
        self.let_go()
        replies = await asyncio.gather(*calls, return_exceptions=True)
        failed = [reply for reply in replies if isinstance(reply, Exception)]
        if failed and not isinstance(failed[0], ReplyError):
            raise failed[0]
        return failed[0] if failed else replies[-1]

    def tell(self, words: Sequence[Word]) -> None:
        """Send a command whose reply is not that of a call."""
        if self._transport is not None:
            self._transport.write(_packed(tuple(words)))

    def hold(self) -> None:
        """Send nothing for a moment, so that several commands go out in one piece."""
        if self._held is None:
            self._held = []

    def let_go(self) -> None:
        """Send what was held back, and hold back no more."""
        held, self._held = self._held, None
        if held and self._transport is not None:
            self._transport.write(b"".join(held))

    def give_up(self, error: Exception) -> None:
        """Drop the connection; whoever waits gets this error."""
        self._gave_up = self._gave_up or error
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection, and return when it is."""
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.shield(self.ended)
            self.give_up(ConnectionEndedError("the connection was closed here"))

    def _watch(self) -> None:
        self._watchdog = None
        if not self._waiting:
            return
        since = max(self._heard, self._waiting[0][1])
        left = since + self._patience - self._loop.time()
        if left <= 0:
            self.give_up(SilenceError(f"no answer for {self._patience:g} s"))
        else:
            self._watchdog = self._loop.call_later(left, self._watch)


def _keep_alive(connection: socket.socket | None) -> None:
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # Where the system does not have an option, its own defaults serve.
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
