"""A way to a server on which things go wrong: bytes are held back, cut off, or never come.

It runs in a thread of its own, so that a test may block. An *exchange* of a connection is what the
client says until the server answers, and the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    T = TypeVar("T")

Direction = Literal["to", "from"]
"""To the server, or from it."""
BOTH: Final[tuple[Direction, ...]] = ("to", "from")
NONE: Final = -1
"""The number of an exchange that never comes."""
TICK: Final = 0.02
"""Seconds between two drops of a trickle."""


class Connection:
    """A client, the server, and what passes between them."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader) -> None:
        self.exchanges = 0
        """How many have begun."""
        self.passed: dict[Direction, int] = {"to": 0, "from": 0}
        self.said = b""
        """The first bytes that the client said."""
        self.silent = proxy._swallowing
        self._ends: list[asyncio.StreamWriter] = []
        self._number = 0
        """That of its exchange, among those of all connections."""
        self._proxy = proxy
        self._reader = reader
        self._last: Direction = "from"

    async def serve(self, writer: asyncio.StreamWriter) -> None:
        """Pass on until either side ends it."""
        self._ends = [writer]
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._proxy.target)
        except OSError:
            writer.transport.abort()
            return
        self._ends.append(forth)
        if writer.transport.is_closing():  # It was cut meanwhile.
            self.cut()
            return
        ways = [
            asyncio.create_task(self._pass(self._reader, forth, "to")),
            asyncio.create_task(self._pass(back, writer, "from")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self.cut()
            await asyncio.wait(ways)

    def cut(self) -> None:
        """End it, for both sides and at once."""
        for end in self._ends:
            end.transport.abort()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if direction == "to" and len(self.said) < 4096:
                    self.said += data[:4096]
                if direction == "to" and self._last == "from":
                    self.exchanges += 1
                    self._proxy._exchanges += 1
                    self._number = self._proxy._exchanges
                self._last = direction
                if not await self._through(data, target, direction):
                    return

    async def _through(
        self, data: bytes, target: asyncio.StreamWriter, direction: Direction
    ) -> bool:
        """Pass this on, as far as it is let through; False: the connection is to be cut."""
        proxy = self._proxy
        if self._number == proxy._cut_before_reply and direction == "from":
            return False
        if delay := proxy._delay[direction]:
            await asyncio.sleep(delay)
        await proxy._open[direction].wait()
        if self.silent:
            return True
        if (left := proxy._left[direction]) is not None:
            data = data[:left]
            proxy._left[direction] = left - len(data)
        if rate := proxy._rate[direction]:
            await self._trickle(data, target, rate)
        else:
            target.write(data)
            await target.drain()
        self.passed[direction] += len(data)
        if self._number == proxy._cut_after_request and direction == "to":
            # The server has it when it has answered, and nobody hears the answer.
            self.silent = True
            asyncio.get_running_loop().call_later(0.05, self.cut)
        return proxy._left[direction] != 0

    async def _trickle(self, data: bytes, target: asyncio.StreamWriter, rate: float) -> None:
        drop = max(1, int(rate * TICK))
        for at in range(0, len(data), drop):
            target.write(data[at : at + drop])
            await asyncio.sleep(TICK)


class Proxy:
    """Listens on ``port`` and passes everything on to ``target``, a port of this machine."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._connections: set[Connection] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        self._delay: dict[Direction, float] = {"to": 0.0, "from": 0.0}
        self._rate: dict[Direction, float] = {"to": 0.0, "from": 0.0}
        self._left: dict[Direction, int | None] = {"to": None, "from": None}
        self._open = {direction: asyncio.Event() for direction in BOTH}
        self._refusing = self._swallowing = False
        self._exchanges = 0
        self._cut_after_request = self._cut_before_reply = NONE
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._ended.set)
        self._thread.join(10)

    # What goes wrong

    def stall(self, *directions: Direction) -> None:
        """Let no byte pass, on whatever connection, until :meth:`resume`; none is lost."""
        self._do(lambda: [self._open[one].clear() for one in directions or BOTH])

    def resume(self) -> None:
        """Let bytes pass again."""
        self._do(lambda: [one.set() for one in self._open.values()])

    def silence(self, which: Callable[[Connection], bool] = lambda _: True) -> int:
        """Swallow all that comes on these connections from now on, and end none; answers how many.

        New connections work.
        """

        def silence() -> int:
            meant = [one for one in self._connections if which(one) and not one.silent]
            for connection in meant:
                connection.silent = True
            return len(meant)

        return self._do(silence)

    def black_hole(self) -> None:
        """Swallow all that comes on any connection, new ones too, until :meth:`mend`."""

        def swallow() -> None:
            self._swallowing = True
            for connection in self._connections:
                connection.silent = True

        self._do(swallow)

    def hold(self, seconds: float, *directions: Direction) -> None:
        """Pass everything on so much later."""
        self._do(lambda: self._delay.update(dict.fromkeys(directions or BOTH, seconds)))

    def trickle(self, rate: float, *directions: Direction) -> None:
        """Pass on so many bytes a second, on each connection; 0: as they come."""
        self._do(lambda: self._rate.update(dict.fromkeys(directions or BOTH, rate)))

    def cut(self) -> int:
        """End all connections at once; answers how many."""

        def cut() -> int:
            connections = tuple(self._connections)
            for connection in connections:
                connection.cut()
            return len(connections)

        return self._do(cut)

    def cut_after(self, count: int, direction: Direction = "to") -> None:
        """End the connection on which the byte after so many more would pass; later ones too."""
        self._do(lambda: self._left.update({direction: count}))

    def cut_at(self, exchange: int, when: Literal["after request", "before reply"]) -> None:
        """End the connection of the so-manyeth exchange from now on.

        After its request has reached the server, or (which a client cannot tell from it) just
        before its reply would be passed on; 0: none.
        """

        def set_up() -> None:
            number = self._exchanges + exchange if exchange else NONE
            self._cut_after_request = number if when == "after request" else NONE
            self._cut_before_reply = number if when == "before reply" else NONE

        self._do(set_up)

    def refuse(self, refusing: bool = True) -> None:
        """End new connections at once."""
        self._do(lambda: setattr(self, "_refusing", refusing))

    def mend(self) -> None:
        """Let everything pass again; connections that were silenced stay silent."""

        def mend() -> None:
            self._refusing = self._swallowing = False
            self._delay.update(dict.fromkeys(BOTH, 0.0))
            self._rate.update(dict.fromkeys(BOTH, 0.0))
            self._left.update(dict.fromkeys(BOTH))
            self._cut_after_request = self._cut_before_reply = NONE

        self._do(mend)
        self.resume()

    @property
    def exchanges(self) -> int:
        """How many there were so far, on all connections."""
        return self._exchanges

    @property
    def connections(self) -> list[Connection]:
        """Those that are open."""
        return self._do(lambda: list(self._connections))

    # In the thread

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        for way in self._open.values():
            way.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        async with server:
            await self._ended.wait()
            server.close()
            for task in self._serving:
                if task is not None:
                    task.cancel()
            if self._serving:
                await asyncio.gather(*filter(None, self._serving), return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        connection = Connection(self, reader)
        task = asyncio.current_task()
        self._connections.add(connection)
        self._serving.add(task)
        try:
            await connection.serve(writer)
        except asyncio.CancelledError:
            pass  # At the end of the proxy.
        finally:
            self._connections.discard(connection)
            self._serving.discard(task)

    def _do(self, act: Callable[[], T]) -> T:
        """Do it in the thread of the proxy."""
        answer: list[T] = []
        done = threading.Event()

        def do() -> None:
            answer.append(act())
            done.set()

        self._loop.call_soon_threadsafe(do)
        assert done.wait(10), "the proxy has ended"
        return answer[0]
