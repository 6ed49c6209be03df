"""A connection that handlers borrow, and how one tells whether it may be lent again."""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.sqlite.connection import Connection, connect, roll_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.drivers.sqlite.place import Place

LEGACY: Final = -1
"""What ``Connection.autocommit`` is where ``isolation_level`` decides; always so before 3.12."""
_ALTERING_METHODS: Final = (
    "create_aggregate",
    "create_collation",
    "create_function",
    "create_window_function",
    "deserialize",
    "enable_load_extension",
    "load_extension",
    "set_authorizer",
    "set_progress_handler",
    "set_trace_callback",
    "setconfig",
    "setlimit",
)
_ALTERING_ACTIONS: Final = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})


class Lendable(Connection):
    """Notices what would outlast the block of a borrower.

    That is any PRAGMA with an argument, ATTACH, temporary tables, and any method that teaches the
    connection something, such as ``create_function``. Such a connection serves no second borrower.
    """

    alterations: Alterations
    own_references: int
    """How many there are to it as long as nobody but a pool knows it."""

    @property
    def reusable(self) -> bool:
        """Whether nothing of the last borrower is left that :meth:`take_back` does not undo."""
        autocommit = getattr(self, "autocommit", LEGACY)
        return not (self.alterations.noticed or self.in_transaction or autocommit != LEGACY)

    def lend(self) -> None:
        """Make it ready for a borrower."""
        self._query_only("OFF")
        self.alterations.noticed = False

    def take_back(self) -> None:
        """Undo what a borrower may set, and refuse the writes of one who still knows it."""
        self.row_factory = None
        self.text_factory = str
        self.isolation_level = None
        self._query_only("ON")

    def _query_only(self, value: str) -> None:
        self.execute(f"PRAGMA query_only = {value}")

    def end(self) -> None:
        """Roll back and close."""
        try:
            if self.file is not None:  # The borrower may have closed it.
                roll_back(self)
        finally:
            self.close()


class Alterations:
    """What SQLite tells of the statements of a connection.

    An object of its own, because a connection that owns itself would never be freed.
    """

    __slots__ = ("noticed",)

    def __init__(self) -> None:
        self.noticed = False

    def authorize(
        self, action: int, _: Any, argument: str | None, database: str | None, __: Any
    ) -> int:
        """Allow everything, as it is being compiled, and remember what outlasts a block."""
        sets = action == sqlite3.SQLITE_PRAGMA and argument is not None
        if sets or action in _ALTERING_ACTIONS or database == "temp":
            self.noticed = True
        return sqlite3.SQLITE_OK


def open_lendable(place: Place) -> Lendable:
    """A connection that notices what its borrowers change."""
    connection = connect(place, Lendable)
    connection.alterations = Alterations()
    sqlite3.Connection.set_authorizer(connection, connection.alterations.authorize)
    return connection


def _noticed(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def altering(connection: Lendable, *arguments: Any, **options: Any) -> Any:
        connection.alterations.noticed = True
        return method(connection, *arguments, **options)

    return altering


for _name in _ALTERING_METHODS:
    # Some came with later Pythons, some can be left out of a build.
    if hasattr(sqlite3.Connection, _name):
        setattr(Lendable, _name, _noticed(getattr(sqlite3.Connection, _name)))
