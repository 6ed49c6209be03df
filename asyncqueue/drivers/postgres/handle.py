"""A handle on the tables: how it comes and goes, and how its verbs get a connection."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeVar
from weakref import WeakKeyDictionary

from asyncqueue.clock import SYSTEM_CLOCK, Clock, SystemClock
from asyncqueue.drivers.base import Driver, Watch
from asyncqueue.drivers.postgres import diagnose
from asyncqueue.drivers.postgres.listening import OpenWatches
from asyncqueue.drivers.postgres.marks import Marks
from asyncqueue.drivers.postgres.names import Tables
from asyncqueue.drivers.postgres.place import Place, normal
from asyncqueue.drivers.postgres.schema import described, schema_sql
from asyncqueue.drivers.postgres.session import Session
from asyncqueue.drivers.postgres.statements import Statements
from asyncqueue.drivers.postgres.unsure import Unsure
from asyncqueue.errors import DriverError
from asyncqueue.forks import tell_of_forks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncqueue.drivers.postgres.store import Store

T = TypeVar("T")
LONG: Final = 60.0
"""Seconds that an operator's change of very many jobs may take."""
UPGRADE: Final = 3600.0
"""Seconds that one who asks for nothing else waits for the newest schema."""
CLONE_POOL: Final = 2
FAREWELL: Final = 2.0
"""Seconds for another event loop to close its connections."""
_inherited: Final[list[object]] = []
"""What forked processes must keep and never touch."""


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
        self._crowded: set[str] = set()
        self._marks = Marks()
        self._sender = secrets.token_hex(6)
        self._is_open = False
        self._sessions: dict[asyncio.AbstractEventLoop, Session] = {}
        self._opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )
        tell_of_forks(self)

    def location(self) -> str:
        """``postgresql://user@host/database``, without the password."""
        return self._place.location

    def schema_sql(self, since: int = 0) -> str:
        """See :meth:`asyncqueue.drivers.base.Driver.schema_sql`; one transaction."""
        return schema_sql(self._sql, since)

    async def migrate(self) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.migrate`."""
        session = self._sessions.get(asyncio.get_running_loop())
        if session is not None:
            steps = await session.upgrade(UPGRADE)
        else:
            session = self._new_session()
            try:
                steps = await session.upgrade(UPGRADE)
            finally:
                await session.close()
        return [described(step, self._tables) for step in steps]

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
        """Connect; create the tables if they are missing, and upgrade old ones. Harmless when open.

        Raises DriverUnavailable where the server cannot be used, and DriverError where its tables
        belong to a newer version or to somebody else, or the user may not create or change them.
        """
        await self._open_here()
        self._is_open = True

    async def close(self) -> None:
        """Finish what was asked for and let go of the database. Harmless when it is closed.

        The block of a :meth:`transaction` that has not reached its end by now will fail there
        with DriverError, and nothing of it is written.
        """
        self._is_open = False
        while self._sessions:
            loop, session = self._sessions.popitem()
            if loop is asyncio.get_running_loop():
                await session.close()
            elif loop.is_running():
                elsewhere = asyncio.run_coroutine_threadsafe(session.close(), loop)
                await asyncio.wait([asyncio.wrap_future(elsewhere)], timeout=FAREWELL)
            else:
                session.abandon()

    def forked(self) -> None:
        """This is a child process: the connections are those of its parent."""
        # Whatever is done to them here, closing them included, would be done to the parent's.
        _inherited.append(self._sessions)
        self._sessions = {}
        self._opening = WeakKeyDictionary()
        self._watches = OpenWatches()
        self._unsure = Unsure()
        self._crowded = set()
        self._marks = Marks()
        self._sender = secrets.token_hex(6)

    async def ping(self) -> None:
        """Raise DriverUnavailable unless the server answers."""
        await self._work(lambda store: store.rows("look.ping"))

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; what other processes commit is noticed within some milliseconds."""
        watch = self._watches.open(topics)
        session = self._sessions.get(asyncio.get_running_loop())
        if session is not None:
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
        return self._sessions.get(asyncio.get_running_loop()) or await self._open_here_again()

    async def _open_here_again(self) -> Session:
        """Each event loop that uses an open driver gets connections of its own."""
        if not self._is_open:
            raise DriverError(f"The postgres driver on {self.location()} is closed; open it first.")
        return await self._open_here()

    async def _open_here(self) -> Session:
        loop = asyncio.get_running_loop()
        async with self._opening.setdefault(loop, asyncio.Lock()):
            session = self._sessions.get(loop)
            if session is None:
                self._leave_ended_loops()
                session = self._new_session()
                await session.open(LONG)
                self._sessions[loop] = session
            return session

    def _new_session(self) -> Session:
        return Session(
            self._place,
            self._sql,
            self._now,
            self._watches,
            self._sender,
            put_back=self._marks.forget,
        )

    def _leave_ended_loops(self) -> None:
        for loop in [loop for loop in self._sessions if loop.is_closed()]:
            self._sessions.pop(loop).abandon()
