"""A handle on the file: how it comes and goes, and how its verbs get at it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, ClassVar, Self

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Watch, Watches
from asyncqueue.drivers.sqlite import diagnose
from asyncqueue.drivers.sqlite.calls import Call
from asyncqueue.drivers.sqlite.connection import connect
from asyncqueue.drivers.sqlite.failures import explained
from asyncqueue.drivers.sqlite.names import Tables
from asyncqueue.drivers.sqlite.opened import Opened
from asyncqueue.drivers.sqlite.place import Place, Synchronous, file_path
from asyncqueue.drivers.sqlite.schema import described, upgrade
from asyncqueue.drivers.sqlite.statements import Statements
from asyncqueue.errors import DriverError
from asyncqueue.forks import tell_of_forks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from asyncqueue.drivers.migrations import Step
    from asyncqueue.drivers.sqlite.reader import Reader
    from asyncqueue.drivers.sqlite.writer import Writer


class Handle(Driver):
    """Everything of the driver but its verbs."""

    name: ClassVar[str] = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        table: str = "jobs",
        failed_table: str = "failed_jobs",
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.clock = clock
        self._tables = Tables(table, failed_table)
        self._place = Place(file_path(path), synchronous, busy_timeout)
        self._sql = Statements(self._tables)
        self._watches = Watches()
        self._idle = True
        self._opening = threading.Lock()
        self._opened: Opened | None = None
        self._inherited = False
        tell_of_forks(self)

    @property
    def path(self) -> Path:
        """The database file, absolute."""
        return self._place.path

    def location(self) -> str:
        """``sqlite:////absolute.db``."""
        return f"sqlite:///{self.path}"

    async def migrate(self) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.migrate`."""
        with explained(self._place):
            steps = await asyncio.to_thread(self._upgrade)
        return [described(step, self._tables) for step in steps]

    def _upgrade(self) -> list[Step]:
        with contextlib.closing(connect(self._place)) as connection:
            return upgrade(connection, self._sql, self._place)

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """See :meth:`asyncqueue.drivers.base.Driver.diagnose`."""
        await self._writer.do(Call(lambda _: None, durable=False))
        return await self._reader.read(lambda store: diagnose.findings(store, self._place))

    def clone(self) -> Self:
        """A second, unopened handle on the same file, with its own connections."""
        place, tables = self._place, self._tables
        return type(self)(
            place.path,
            table=tables.jobs,
            failed_table=tables.failed,
            synchronous=place.synchronous,
            busy_timeout=place.patience,
            clock=self.clock,
        )

    async def open(self) -> None:
        """Open the file and create the tables if they are missing. Harmless when it is open.

        Raises DriverUnavailable where the file cannot be used, and DriverError where its tables
        belong to another version or to somebody else.
        """
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        with self._opening, explained(self._place):
            if self._opened is not None:
                return
            opened = Opened(self._place, self._sql, self.clock, self._watches)
            self._opened, self._inherited = opened, False
            if not self._watches.idle:
                opened.writer.notice_changes()

    async def close(self) -> None:
        """Finish what was asked for and let go of the file. Harmless when it is closed.

        The block of a :meth:`transaction` that has not reached its end by now will fail there
        with DriverError, and nothing of it is written.
        """
        if self._opening.locked():
            await asyncio.to_thread(self._wait_until_open)
        opened, self._opened, self._inherited = self._opened, None, False
        if opened is not None:
            await opened.close()

    def _wait_until_open(self) -> None:
        with self._opening:
            pass

    def forked(self) -> None:
        """This is a child process: threads and connections are those of its parent."""
        self._opening = threading.Lock()  # Whoever held it is not here to let go of it.
        self._watches = Watches()
        if self._opened is not None:
            self._opened, self._inherited = None, True

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; commits of other processes are noticed within some milliseconds."""
        if self._inherited:
            raise self._not_open()
        first = self._watches.idle
        watch = self._watches.open(topics)
        if first and self._opened is not None:
            self._writer.notice_changes()
        return watch

    # Inside

    @property
    def _writer(self) -> Writer:
        return self._open_file.writer

    @property
    def _reader(self) -> Reader:
        return self._open_file.reader

    @property
    def _open_file(self) -> Opened:
        if self._opened is None:
            raise self._not_open()
        return self._opened

    def _not_open(self) -> DriverError:
        if self._inherited:
            return DriverError(
                f"The sqlite driver on {self.path} was opened before this process was forked; "
                "open a queue of its own in each process, or close and open the driver here."
            )
        return DriverError(f"The sqlite driver on {self.path} is closed; open it first.")
