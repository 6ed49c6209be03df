"""An open database file: the threads that work on it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from asyncqueue.drivers.sqlite.completing import Completing
from asyncqueue.drivers.sqlite.reader import Reader
from asyncqueue.drivers.sqlite.writer import Writer

if TYPE_CHECKING:
    from asyncqueue.clock import Clock
    from asyncqueue.drivers.base import Watches
    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements


class Opened:
    """Opens the file and creates the tables if they are missing. To be made in a thread."""

    def __init__(self, place: Place, sql: Statements, clock: Clock, watches: Watches) -> None:
        self.reader = Reader(place, sql, clock)
        try:
            self.writer = Writer(place, sql, clock, watches, self.reader.original)
        except BaseException:
            self.reader.close()
            raise
        self.completing = Completing(place, sql, clock, watches, self.reader.original)

    async def close(self) -> None:
        """Finish what was asked for and end the threads, all of them, whatever happens."""
        async with contextlib.AsyncExitStack() as ending:
            ending.push_async_callback(asyncio.to_thread, self.reader.close)
            ending.push_async_callback(self.writer.stop)
            ending.push_async_callback(self.completing.close)
