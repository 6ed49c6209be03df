"""What the verbs see of PostgreSQL: a connection, their statements, perhaps a hand-moved time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asyncqueue.drivers.postgres.statements import Statement, Statements
    from asyncqueue.drivers.postgres.wire import Row


class Executing(Protocol):
    """What is needed of a connection, whoever's it is."""

    async def fetch(self, query: str, *args: object) -> list[Row]:
        """Execute one statement; answers its rows."""
        ...

    async def execute(self, query: str, *args: object) -> str:
        """Execute one statement; answers its command tag."""
        ...


class Store:
    """The tables, as seen by one call.

    ``now`` is the time of a clock that is moved by hand, None where the server's own counts.
    ``rung`` collects the topics of watches to ring once all is committed; ``finished`` the ids of
    settled jobs, of which others are told if ``awaited`` says that somebody waits for any.
    ``alone`` says that each statement is a transaction of its own: one may fail without harm to
    the next. ``along`` gives the notification for a statement to bring along, if it may; ``told``
    says that it did, so that ``rung`` need not be told once more. ``put_back`` says that jobs took
    their old places again, before those who wait there.
    """

    def __init__(self, connection: Executing, sql: Statements, now: float | None) -> None:
        self.connection = connection
        self.sql = sql
        self.now = now
        self.rung: set[str] = set()
        self.put_back = False
        self.alone = False
        self.told = False
        self.along: Callable[[Iterable[str]], str | None] = _nothing
        self.finished: list[str] = []
        self.awaited = False

    async def rows(self, address: str, **parameters: object) -> list[Row]:
        """Everything that a statement gives."""
        return await self._fetch(self.sql[address], parameters)

    async def value(self, address: str, **parameters: object) -> Any:
        """The first column of the first row; None where there is none."""
        rows = await self.rows(address, **parameters)
        return rows[0][0] if rows else None

    async def change(self, address: str, **parameters: object) -> int:
        """Execute a statement; answers how many rows it changed."""
        statement = self.sql[address]
        tag = await self.connection.execute(statement.text, *self._given(statement, parameters))
        return int(tag.rpartition(" ")[2])

    async def composed(
        self, address: str, mark: str, piece: str, parameters: Mapping[str, object]
    ) -> list[Row]:
        """Everything that a statement gives after its ``{mark}`` was replaced by another one."""
        return await self._fetch(self.sql.composed(address, mark, piece), parameters)

    async def select(
        self, address: str, marks: Mapping[str, str], parameters: Mapping[str, object]
    ) -> list[Row]:
        """Everything that a statement gives after its ``{marks}`` were replaced by these texts."""
        return await self._fetch(self.sql.marked(address, marks), parameters)

    def ring_put_back(self, queues: Iterable[str]) -> None:
        """Jobs of these queues were put back."""
        before = len(self.rung)
        self.ring("queue", queues)
        self.put_back = self.put_back or len(self.rung) > before

    def ring(self, kind: str, names: Iterable[str]) -> None:
        """Remember the watches of these topics."""
        self.rung.update(f"{kind}:{name}" for name in names)

    async def _fetch(self, statement: Statement, parameters: Mapping[str, object]) -> list[Row]:
        return await self.connection.fetch(statement.text, *self._given(statement, parameters))

    def _given(self, statement: Statement, parameters: Mapping[str, object]) -> list[object]:
        return [self.now if name == "now" else parameters[name] for name in statement.parameters]


def _nothing(_topics: Iterable[str]) -> None:
    return None


def column(values: list[Any]) -> list[Any] | None:
    """A column of a bulk statement; None, which costs nothing, where no row has a value."""
    return values if any(value is not None for value in values) else None
