"""The way to the server: a connection that is made when it is needed, and again when it broke."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.redis.failures import explain, is_elsewhere
from asyncqueue.drivers.redis.wire import ConnectionEndedError, ReplyError, Wire
from asyncqueue.errors import DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.redis.connecting import Router
    from asyncqueue.drivers.redis.wire import Word


class Line:
    """The one connection of an event loop."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.wire: Wire | None = None
        self.connecting: asyncio.Task[Wire] | None = None

    async def ask(self, words: Sequence[Word]) -> Any:
        """The reply to a command, an error included."""
        if self.wire is not None and self.wire.open:
            return await self.wire.call(words)
        async with asyncio.timeout(self._router.place.timeout):
            wire = await self._connected()
            return await wire.call(words)

    async def close(self) -> None:
        """Close the connection."""
        connecting, self.connecting = self.connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        wire, self.wire = self.wire, None
        if wire is not None:
            await wire.close()

    def drop(self) -> None:
        """Close the connection, from the loop it belongs to, without waiting."""
        if self.connecting is not None:
            self.connecting.cancel()
        if self.wire is not None:
            self.wire.give_up(ConnectionEndedError("the connection was closed here"))

    async def _connected(self) -> Wire:
        """Whoever comes while a connection is being made waits for the same."""
        if self.connecting is not None:
            # One that others began may fail just before it would have succeeded.
            with contextlib.suppress(DriverUnavailable):
                return await asyncio.shield(self.connecting)
        if self.connecting is None:
            self.connecting = asyncio.create_task(self._connect())
            self.connecting.add_done_callback(self._made)
        return await asyncio.shield(self.connecting)

    async def _connect(self) -> Wire:
        return await self._router.connect(lambda: Wire(self._router.place.timeout))

    def _made(self, connecting: asyncio.Task[Wire]) -> None:
        self.connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self.wire = connecting.result()


class Link:
    """Calls a server, from any event loop: each has a line of its own.

    Every call ends within ``place.timeout`` seconds without an answer. It raises
    DriverUnavailable where the server cannot be reached or cannot help at the moment, and
    DriverError where it refuses.
    """

    def __init__(self, router: Router) -> None:
        self.place = router.place
        self._router = router
        self._lines: dict[asyncio.AbstractEventLoop, Line] = {}

    async def call(self, *words: Word) -> Any:
        """The reply to a command."""
        return await self.ask(words)

    async def ask(self, words: Sequence[Word]) -> Any:
        """The reply to a command."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop) or self._new_line(loop)
        try:
            reply = await line.ask(words)
        except OSError as error:
            raise explain(error, self.place) from error
        if isinstance(reply, ReplyError):
            if is_elsewhere(reply) and line.wire is not None:
                line.wire.give_up(ConnectionEndedError("it led to a server that takes no writes"))
            raise explain(reply, self.place) from reply
        return reply

    async def close(self) -> None:
        """Close all connections. The next call would make a new one."""
        lines, self._lines = self._lines, {}
        mine = lines.pop(asyncio.get_running_loop(), None)
        for loop, line in lines.items():
            with contextlib.suppress(RuntimeError):  # That loop is closed, and all that was on it.
                loop.call_soon_threadsafe(line.drop)
        if mine is not None:
            await mine.close()

    def forget(self) -> None:
        """Leave the connections to the process from which this one was forked."""
        self._lines = {}

    def _new_line(self, loop: asyncio.AbstractEventLoop) -> Line:
        self._lines = {one: line for one, line in self._lines.items() if not one.is_closed()}
        line = self._lines[loop] = Line(self._router)
        return line
