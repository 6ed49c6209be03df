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


class Link:
    """Calls a server. Every call ends within ``place.timeout`` seconds without an answer.

    Raises DriverUnavailable where the server cannot be reached or cannot help at the moment, and
    DriverError where it refuses.
    """

    def __init__(self, router: Router) -> None:
        self.place = router.place
        self._router = router
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
        return await self._router.connect(lambda: Wire(self.place.timeout))

    def _made(self, connecting: asyncio.Task[Wire]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._wire = connecting.result()
