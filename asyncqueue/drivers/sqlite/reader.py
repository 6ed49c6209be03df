"""The reader: a thread with a connection of its own, so that looking never waits for a writer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from asyncqueue.drivers.sqlite.connection import connect, patiently, readable
from asyncqueue.drivers.sqlite.failures import explained
from asyncqueue.drivers.sqlite.kept_open import KeptOpen
from asyncqueue.drivers.sqlite.original import Original
from asyncqueue.drivers.sqlite.store import Store
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.sqlite.connection import Connection
    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements

T = TypeVar("T")


class Reader:
    """Reads the last committed state, one call after the other.

    ``original`` is the file that it reads.
    """

    def __init__(self, place: Place, sql: Statements, clock: Clock) -> None:
        self._place = place
        self._sql = sql
        self._clock = clock
        self._kept = KeptOpen(self._connect)
        with self._kept.using():
            self.original = Original(place.path)
        self._thread = ThreadPoolExecutor(1, "asyncqueue-sqlite-reader")

    async def read(self, look: Callable[[Store], T]) -> T:
        """What ``look`` finds."""
        loop = asyncio.get_running_loop()
        try:
            looking = loop.run_in_executor(self._thread, self._read, look)
        except RuntimeError as error:  # Another event loop has closed the driver just now.
            raise DriverError(f"The sqlite driver on {self._place.path} was closed.") from error
        return await looking

    def _read(self, look: Callable[[Store], T]) -> T:
        self.original.check()
        with explained(self._place), self._kept.using() as connection:
            store = Store(connection, self._sql, self._clock.time())
            return patiently(lambda: look(store), self._place.patience)

    def close(self) -> None:
        """Let the last call finish and end the thread."""
        self._thread.shutdown()
        self._kept.close()

    def _connect(self) -> Connection:
        connection = connect(self._place)
        connection.execute("PRAGMA query_only = ON")
        connection.text_factory = readable
        return connection
