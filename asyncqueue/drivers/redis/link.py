"""The ways to the servers: connections that are made when needed, and again when they broke."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from asyncqueue.drivers.redis.failures import explain, is_elsewhere
from asyncqueue.drivers.redis.wire import ConnectionEndedError, ReplyError, Wire
from asyncqueue.errors import DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from asyncqueue.drivers.redis.connecting import Router
    from asyncqueue.drivers.redis.place import Address
    from asyncqueue.drivers.redis.wire import Word


class Line:
    """The one connection of an event loop to a server."""

    def __init__(self, router: Router, address: Address | None) -> None:
        self.address = address
        self.wire: Wire | None = None
        self.connecting: asyncio.Task[Wire] | None = None
        self._router = router

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
        return await self._router.connect(lambda: Wire(self._router.place.timeout), self.address)

    def _made(self, connecting: asyncio.Task[Wire]) -> None:
        self.connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self.wire = connecting.result()
            self.wire.unheard = self._router.unheard


class Lines:
    """The lines of one event loop: which leads to which shard."""

    def __init__(self, router: Router) -> None:
        self.to: dict[int, Line] = {}
        self._router = router
        self._all: dict[Address | None, Line] = {}

    async def find(self, shard: int) -> Line:
        """The line to a shard; one that leads nowhere any more is dropped."""
        address = await self._router.holder(shard)
        line = self._all.get(address)
        if line is None:
            line = self._all[address] = Line(self._router, address)
        self.to[shard] = line
        self._tidy()
        return line

    def lost(self, shard: int, line: Line) -> None:
        """This line does not lead to where the shard is."""
        if not self._router.divided:
            line.drop()
            return
        self._router.forget(shard)
        if self.to.get(shard) is line:
            del self.to[shard]

    def silent(self, line: Line) -> None:
        """There is no server at the end of this line."""
        if self._router.divided:
            self._router.forget_server(line.address)
            self.to = {shard: other for shard, other in self.to.items() if other is not line}

    def all(self) -> list[Line]:
        """Every line there is."""
        return list(self._all.values())

    def _tidy(self) -> None:
        used = {id(line) for line in self.to.values()}
        for address, line in tuple(self._all.items()):
            if id(line) not in used:
                line.drop()
                del self._all[address]


class Link:
    """Calls the servers of all shards, from any event loop: each has lines of its own.

    Every call ends within ``place.timeout`` seconds without an answer. It raises
    DriverUnavailable where the server cannot be reached or cannot help at the moment, and
    DriverError where it refuses.
    """

    def __init__(self, router: Router) -> None:
        self.place = router.place
        self._router = router
        self._lines: dict[asyncio.AbstractEventLoop, Lines] = {}

    async def call(self, *words: Word, shard: int = 0) -> Any:
        """The reply to a command."""
        return await self.ask(words, shard)

    async def ask(self, words: Sequence[Word], shard: int = 0, *, moved: bool = False) -> Any:
        """The reply to a command from the server that holds this shard.

        One that does not hold it any more has done nothing: then it is looked for once.
        """
        loop = asyncio.get_running_loop()
        lines = self._lines.get(loop) or self._new_lines(loop)
        line = lines.to.get(shard)
        try:
            if line is None:
                async with asyncio.timeout(self.place.timeout):
                    line = await lines.find(shard)
                    reply = await line.ask(words)
            else:
                reply = await line.ask(words)
        except DriverUnavailable:
            if line is not None:
                lines.silent(line)
            raise
        except OSError as error:
            if line is not None:
                lines.silent(line)
            raise explain(error, self.place) from error
        if isinstance(reply, ReplyError):
            if is_elsewhere(reply):
                lines.lost(shard, line)
                if self._router.divided and not moved:
                    return await self.ask(words, shard, moved=True)
            raise explain(reply, self.place) from reply
        return reply

    async def step(self, *commands: Sequence[Word], shard: int = 0) -> Any:
        """The replies to commands that are executed as one."""
        while (wire := self._open_wire(shard)) is None:
            await self.ask(("PING",), shard)
        try:
            replies = await wire.step(commands)
        except OSError as error:
            raise explain(error, self.place) from error
        if isinstance(replies, ReplyError):
            raise explain(replies, self.place) from replies
        return replies

    def _open_wire(self, shard: int) -> Wire | None:
        lines = self._lines.get(asyncio.get_running_loop())
        line = lines.to.get(shard) if lines is not None else None
        return line.wire if line is not None and line.wire is not None and line.wire.open else None

    @contextlib.contextmanager
    def together(self) -> Generator[None]:
        """What asyncio tasks that are made inside ask first goes to each server in one piece."""
        loop = asyncio.get_running_loop()
        lines = self._lines.get(loop) or self._new_lines(loop)
        wires = [line.wire for line in lines.all() if line.wire is not None]
        for wire in wires:
            wire.hold()
        try:
            yield
        finally:
            for wire in wires:
                loop.call_soon(wire.let_go)

    async def close(self) -> None:
        """Close all connections. The next call would make new ones."""
        of_loops, self._lines = self._lines, {}
        mine = of_loops.pop(asyncio.get_running_loop(), None)
        for loop, lines in of_loops.items():
            for line in lines.all():
                with contextlib.suppress(RuntimeError):  # That loop is closed, with all on it.
                    loop.call_soon_threadsafe(line.drop)
        if mine is not None:
            await asyncio.gather(*(line.close() for line in mine.all()))

    def forget(self) -> None:
        """Leave the connections to the process from which this one was forked."""
        self._lines = {}

    def _new_lines(self, loop: asyncio.AbstractEventLoop) -> Lines:
        self._lines = {one: lines for one, lines in self._lines.items() if not one.is_closed()}
        lines = self._lines[loop] = Lines(self._router)
        return lines
