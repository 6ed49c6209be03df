"""Connections of callers, of whatever library, as the driver's statements need them.

None of these libraries is imported before a caller has given one of its objects.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.postgres.wire import as_connection

if TYPE_CHECKING:
    from collections.abc import Generator

    from asyncqueue.drivers.postgres.store import Executing
    from asyncqueue.drivers.postgres.wire import Row

ACCEPTED: Final = (
    "an asyncpg connection, a psycopg AsyncConnection, or an AsyncSession or AsyncConnection of "
    "SQLAlchemy on one of these"
)
_NUMBER: Final = re.compile(r"\$(\d+)")


class GuestError(Exception):
    """An error of a caller's library; ``sqlstate`` is the server's code, if it is the server's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        cause: Any = getattr(error, "orig", None) or error
        self.sqlstate: str | None = getattr(cause, "sqlstate", None)


async def guest(within: object) -> Executing | None:
    """The caller's connection; None for what is none of the accepted ones."""
    connection = as_connection(within)
    if connection is not None:
        return connection
    if _is(within, "psycopg", "AsyncConnection"):
        return PsycopgGuest(within)
    if _is(within, "sqlalchemy", "AsyncSession"):
        session: Any = within
        with _told("sqlalchemy.exc", "SQLAlchemyError"):
            return _sqlalchemy(await session.connection())
    return _sqlalchemy(within) if _is(within, "sqlalchemy", "AsyncConnection") else None


def _is(given: object, package: str, name: str) -> bool:
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == package
        for kind in type(given).__mro__
    )


def _sqlalchemy(connection: Any) -> Executing | None:
    dialect: Any = connection.dialect
    if dialect.name != "postgresql":
        return None
    drivers = {"asyncpg": NumberedGuest, "psycopg": NamedGuest, "psycopg_async": NamedGuest}
    made = drivers.get(dialect.driver)
    return None if made is None else made(connection)


class PsycopgGuest:
    """An async connection of psycopg 3."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[Row]:
        """Execute one statement; answers its rows."""
        rows, _ = await self._execute(query, args)
        return rows

    async def execute(self, query: str, *args: object) -> str:
        """Execute one statement; answers how many rows it changed."""
        _, changed = await self._execute(query, args)
        return str(changed)

    async def _execute(self, query: str, args: tuple[object, ...]) -> tuple[list[Row], int]:
        rows: Any = importlib.import_module("psycopg.rows")
        with _told("psycopg", "Error"):
            async with self._connection.cursor(row_factory=rows.tuple_row) as cursor:
                await cursor.execute(*_named(query, args))
                found: list[Row] = await cursor.fetchall() if cursor.description else []
                return found, cursor.rowcount


class NumberedGuest:
    """A connection of SQLAlchemy on asyncpg."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[Row]:
        """Execute one statement; answers its rows."""
        result = await self._execute(query, args)
        return list(result.fetchall()) if result.returns_rows else []

    async def execute(self, query: str, *args: object) -> str:
        """Execute one statement; answers how many rows it changed."""
        return str((await self._execute(query, args)).rowcount)

    async def _execute(self, query: str, args: tuple[object, ...]) -> Any:
        with _told("sqlalchemy.exc", "SQLAlchemyError"):
            return await self._connection.exec_driver_sql(*self._given(query, args))

    def _given(self, query: str, args: tuple[object, ...]) -> tuple[str, Any]:
        return query, args or None


class NamedGuest(NumberedGuest):
    """A connection of SQLAlchemy on psycopg 3."""

    def _given(self, query: str, args: tuple[object, ...]) -> tuple[str, Any]:
        return _named(query, args)


def _named(query: str, args: tuple[object, ...]) -> tuple[str, dict[str, object] | None]:
    """The statement with its parameters by name, as psycopg takes them."""
    parameters = {f"p{number}": value for number, value in enumerate(args, 1)}
    return _NUMBER.sub(r"%(p\1)s", query), parameters or None


@contextlib.contextmanager
def _told(module: str, base: str) -> Generator[None]:
    """Raise errors of a library as ours."""
    kind: Any = getattr(importlib.import_module(module), base)
    try:
        yield
    except kind as error:
        raise GuestError(error) from error
