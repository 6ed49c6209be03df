"""What the verbs see of SQLite: a connection, their statements, one point in time."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from asyncqueue.drivers.sqlite.statements import Statements, in_chunks

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Row = tuple[Any, ...]
    Parameters = Sequence[object] | Mapping[str, object]

T = TypeVar("T")


class Store:
    """The tables, as seen by one transaction.

    ``rung`` collects the topics of watches to ring once it is committed.
    """

    def __init__(self, connection: sqlite3.Connection, sql: Statements, now: float) -> None:
        self.connection = connection
        self.sql = sql
        self.now = now
        self.rung: set[str] = set()

    def rows(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Everything that a statement gives."""
        return self._execute(self.sql[statement], parameters).fetchall()

    def value(self, statement: str, parameters: Parameters = ()) -> Any:
        """The first column of the first row; None where there is none."""
        row = self._execute(self.sql[statement], parameters).fetchone()
        return row[0] if row else None

    def change(self, statement: str, parameters: Parameters = ()) -> int:
        """Execute a statement; answers how many rows it changed."""
        return self._execute(self.sql[statement], parameters).rowcount

    def change_bulk(self, statement: str, rows: Sequence[Row]) -> int:
        """Execute a statement that takes any number of rows; answers how many it changed."""
        changed = 0
        for chunk in in_chunks(rows):
            text = self.sql.bulk(statement, len(chunk), len(chunk[0]))
            changed += self._execute(text, list(chain.from_iterable(chunk))).rowcount
        return changed

    def select(self, statement: str, parameters: Parameters, **marks: str) -> list[Row]:
        """Everything that a statement gives after its ``:marks`` were replaced by these texts."""
        return self._execute(self.sql.marked(statement, marks), parameters).fetchall()

    def ring(self, kind: str, names: Iterable[str]) -> None:
        """Remember the watches of these topics."""
        self.rung.update(f"{kind}:{name}" for name in names)

    def _execute(self, text: str, parameters: Parameters) -> sqlite3.Cursor:
        cursor = self.connection.cursor()
        # A connection that the caller lent may make something else of its rows.
        cursor.row_factory = None
        return cursor.execute(text, parameters)


def has_any(get: Callable[[T], object], values: Sequence[T]) -> bool:
    """Whether some of these have something there; without a step of Python for each of them."""
    return list(map(get, values)).count(None) < len(values)


def listed(values: Iterable[object]) -> str:
    """Values as one parameter, for ``IN (SELECT value FROM json_each(?))``."""
    listed = list(values)
    try:
        return msgspec.json.encode(listed).decode()
    except UnicodeEncodeError:
        # Half a surrogate pair: no store takes such an id, but one may be asked for it.
        return json.dumps(listed)
