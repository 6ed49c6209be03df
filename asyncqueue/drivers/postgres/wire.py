"""What this driver uses of asyncpg, with types: nobody else here imports it."""
# ruff: noqa: D102 - asyncpg documents these methods

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

import asyncpg as untyped  # pyright: ignore[reportMissingTypeStubs]

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterable, Sequence

    from asyncqueue.drivers.postgres.place import Place

    Row = Sequence[Any]
    Heard = Callable[[object, int, str, str], None]

asyncpg: Final[Any] = untyped
PostgresError: Final[type[Exception]] = asyncpg.PostgresError
"""What the server refuses; ``sqlstate`` tells why."""
InterfaceError: Final[type[Exception]] = asyncpg.InterfaceError
"""What asyncpg itself refuses, a closed connection for one."""
InternalClientError: Final[type[Exception]] = asyncpg.InternalClientError


class Transaction(Protocol):
    """A transaction of asyncpg's."""

    async def start(self) -> None: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


class Connection(Protocol):
    """A connection of asyncpg's."""

    async def fetch(self, query: str, *args: object) -> list[Row]: ...
    async def execute(self, query: str, *args: object) -> str: ...
    def transaction(self) -> Transaction: ...

    answered: float
    """When the server last answered a statement, by the clock of the event loop."""

    def is_closed(self) -> bool: ...
    def is_in_transaction(self) -> bool: ...
    def terminate(self) -> None: ...
    async def close(self, *, timeout: float | None = None) -> None: ...
    def get_server_version(self) -> tuple[int, ...]: ...
    async def add_listener(self, channel: str, callback: Heard) -> None: ...
    def add_termination_listener(self, callback: Callable[[object], None]) -> None: ...


class Lending(Protocol):
    """A pool of asyncpg's."""

    async def acquire(self, *, timeout: float | None = None) -> Connection: ...
    async def release(self, connection: Connection, *, timeout: float | None = None) -> None: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...


ANSWERING: Final = 3
"""How much longer than one answer may take a call goes on whose statements are all answered."""


class ToldBefore(NamedTuple):
    """Stands for the statement that would have asked; asyncpg reads its name only."""

    name: str = "told before"


class OwnConnection(asyncpg.Connection):
    """Knows when it was answered, and asks what arrays of built-in types are once in a process.

    What they are is the same on every server. Finding it costs the server more than 30 ms and takes
    six round trips, for which the first claim and the first settlement of a connection would wait.
    """

    __slots__ = ("answered",)

    async def fetch(self, query: str, *args: object, **options: Any) -> Any:
        connection: Any = super()
        answer: Any = await connection.fetch(query, *args, **options)
        self.answered = self._loop.time()
        return answer

    async def execute(self, query: str, *args: object, **options: Any) -> Any:
        connection: Any = super()
        answer: Any = await connection.execute(query, *args, **options)
        self.answered = self._loop.time()
        return answer

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> Any:
        oids = frozenset(typeoids)
        for asked, told in _built_in.items():
            if oids <= asked:
                return told, ToldBefore()
        if max(oids) < FIRST_OF_USERS:
            oids |= ARRAYS
        asking: Any = super()
        answer: Any = await asking._introspect_types(oids, timeout)  # noqa: SLF001
        if max(oids) < FIRST_OF_USERS:
            _built_in[oids] = answer[0]
        return answer


FIRST_OF_USERS: Final = 10_000
"""Numbers of types below this one were given by PostgreSQL, once and for all."""
ARRAYS: Final = frozenset({1000, 1001, 1005, 1007, 1016, 1022})
"""Of bool, bytea, smallint, integer, bigint and float8: what statements of this driver take."""
_built_in: Final[dict[frozenset[int], Any]] = {}


class Alarm:
    """Drops a connection on which nothing was answered for so many seconds."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        connection: Connection,
        give_up_at: float,
        seconds: float,
    ) -> None:
        self.rang = False
        self._loop = loop
        self._connection = connection
        self._seconds = seconds
        self._latest = give_up_at + (ANSWERING - 1) * seconds
        connection.answered = give_up_at - seconds
        self._timer = loop.call_at(give_up_at, self._look)

    def cancel(self) -> None:
        """Nothing is waited for any more."""
        self._timer.cancel()

    def _look(self) -> None:
        due = min(self._connection.answered + self._seconds, self._latest)
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            self.rang = True
            self._connection.terminate()


async def connect(
    place: Place, *, tuned: bool, timeout: float, dsn: str | None = None
) -> Connection:
    """A new connection; ``tuned`` for the driver's own statements only."""
    connection: Any = await asyncpg.connect(
        dsn or place.dsn,
        timeout=timeout,
        connection_class=OwnConnection,
        statement_cache_size=place.statement_cache_size,
        server_settings=place.settings(tuned=tuned) or None,
    )
    return cast("Connection", connection)


async def open_lending(place: Place) -> Lending:
    """A pool for connections that handlers borrow. Connects when one is asked for."""
    pool: Any = await asyncpg.create_pool(
        place.dsn,
        min_size=0,
        max_size=place.pool_size,
        timeout=place.patience,
        statement_cache_size=place.statement_cache_size,
        server_settings=place.settings(tuned=False) or None,
    )
    return cast("Lending", pool)


def as_connection(given: object) -> Connection | None:
    """What was given, if it is a connection of asyncpg's."""
    kinds: Any = (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)
    return cast("Connection", given) if isinstance(given, kinds) else None


def is_from_server(error: BaseException) -> bool:
    """Whether this is an error of the server or of asyncpg."""
    return isinstance(error, (PostgresError, InterfaceError, InternalClientError))


def is_of_a_dropped_connection(error: BaseException) -> bool:
    """Whether asyncpg reached for the protocol of a connection that was dropped meanwhile.

    A connection may be dropped after a statement was prepared and before it is executed.
    """
    return (
        isinstance(error, AttributeError)
        and error.obj is None
        and _raised_by(error).partition(".")[0] == asyncpg.__name__
    )


def _raised_by(error: BaseException) -> str:
    """The module whose code raised it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""
