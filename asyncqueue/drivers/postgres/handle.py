"""A handle on the tables: how it comes and goes, and how its verbs get a connection."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeVar
from weakref import WeakKeyDictionary

from asyncqueue.clock import SYSTEM_CLOCK, Clock, SystemClock
from asyncqueue.drivers.base import Driver, Watch
from asyncqueue.drivers.postgres import diagnose
from asyncqueue.drivers.postgres.listening import OpenWatches
from asyncqueue.drivers.postgres.names import Tables
from asyncqueue.drivers.postgres.place import Place, normal
from asyncqueue.drivers.postgres.session import Session
from asyncqueue.drivers.postgres.statements import Statements
from asyncqueue.drivers.postgres.unsure import Unsure
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncqueue.drivers.postgres.store import Store

T = TypeVar("T")
LONG: Final = 60.0
"""Seconds that an operator's change of very many jobs may take."""
CLONE_POOL: Final = 2


class Handle(Driver):
    """Everything of the driver but its verbs."""

    name: ClassVar[str] = "postgres"
    remote: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913 - each is a setting of its own
        self,
        dsn: str,
        *,
        schema: str = "public",
        table: str = "jobs",
        failed_table: str = "failed_jobs",
        pool_size: int = 10,
        timeout: float = 5.0,
        statement_cache_size: int = 256,
        listen_dsn: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.clock = clock
        self._place = Place(
            normal(dsn),
            pool_size,
            timeout,
            statement_cache_size,
            None if listen_dsn is None else normal(listen_dsn),
        )
        self._tables = Tables(schema, table, failed_table)
        self._sql = Statements(self._tables)
        self._watches = OpenWatches()
        self._unsure = Unsure()
        self._session: Session | None = None
        self._opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    def location(self) -> str:
        """``postgresql://user@host/database``, without the password."""
        return self._place.location

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """See :meth:`asyncqueue.drivers.base.Driver.diagnose`."""
        return await self._look(diagnose.findings)

    def clone(self) -> Self:
        """A second, unopened handle on the same tables, with a small pool of its own."""
        place, tables = self._place, self._tables
        return type(self)(
            place.dsn,
            schema=tables.schema,
            table=tables.jobs,
            failed_table=tables.failed,
            pool_size=min(place.pool_size, CLONE_POOL),
            timeout=place.patience,
            statement_cache_size=place.statement_cache_size,
            listen_dsn=place.listen_dsn,
            clock=self.clock,
        )

    async def open(self) -> None:
        """Connect, and create the tables if they are missing. Harmless when it is open.

        Raises DriverUnavailable where the server cannot be used, and DriverError where its tables
        belong to another version or to somebody else.
        """
        async with self._opening.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if self._session is not None:
                self._leave(self._session)
            if self._session is None:
                session = Session(self._place, self._sql, self._now, self._watches)
                await session.open()
                self._session = session

    async def close(self) -> None:
        """Finish what was asked for and let go of the database. Harmless when it is closed.

        The block of a :meth:`transaction` that has not reached its end by now will fail there
        with DriverError, and nothing of it is written.
        """
        session, self._session = self._session, None
        if session is not None:
            if session.loop is asyncio.get_running_loop():
                await session.close()
            else:
                session.abandon()

    async def ping(self) -> None:
        """Raise DriverUnavailable unless the server answers."""
        await self._work(lambda store: store.rows("look.ping"))

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; what other processes commit is noticed within some milliseconds."""
        watch = self._watches.open(topics)
        session = self._session
        if session is not None and session.loop is asyncio.get_running_loop():
            session.listener.watch(watch.topics)
        return watch

    # Inside

    def _now(self) -> float | None:
        return None if isinstance(self.clock, SystemClock) else self.clock.time()

    async def _work(self, verb: Callable[[Store], Awaitable[T]], *, atomic: bool = False) -> T:
        return await (await self._opened()).work(verb, atomic=atomic)

    async def _look(self, verb: Callable[[Store], Awaitable[T]]) -> T:
        return await (await self._opened()).look(verb)

    async def _operate(self, verb: Callable[[Store], Awaitable[T]]) -> T:
        return await (await self._opened()).operate(verb, LONG, atomic=True)

    async def _opened(self) -> Session:
        session = self._session
        if session is None:
            raise DriverError(f"The postgres driver on {self.location()} is closed; open it first.")
        if session.loop is asyncio.get_running_loop():
            return session
        await self.open()
        return await self._opened()

    def _leave(self, session: Session) -> None:
        """Let go of a session whose event loop or process is not this one, if it has ended."""
        if session.process == os.getpid():
            if session.loop is asyncio.get_running_loop():
                return
            if not session.loop.is_closed():
                raise DriverError(
                    f"The postgres driver on {self.location()} is open on another event loop; "
                    "give each loop a queue of its own, or close this one there first."
                )
        session.abandon()
        self._session = None
