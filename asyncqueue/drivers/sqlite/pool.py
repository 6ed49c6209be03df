"""Connections that wait for the next handler's transaction: opening one costs milliseconds."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.sqlite.kept_open import let_go_at_forks
from asyncqueue.drivers.sqlite.lendable import Lendable, open_lendable
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from asyncqueue.drivers.sqlite.place import Place

MOST_IDLE: Final = 4


class Pool:
    """Lends each connection to one borrower at a time. To be used in threads: it does I/O.

    A connection that its last borrower still refers to, by itself or through a cursor, is not
    lent to another: it could write into a transaction that is not its own.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._idle: list[Lendable] = []
        self._closed = False
        let_go_at_forks(self)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def take(self) -> Lendable:
        """A connection outside of any transaction."""
        if self._closed:
            raise DriverError(f"The sqlite driver on {self._place.path} was closed.")
        connection = self._unused() or self._new()
        try:
            connection.lend()
        except BaseException:
            connection.end()
            raise
        return connection

    def give_back(self, connection: Lendable) -> None:
        """Keep a connection whose transaction was committed, or close it. Does not raise."""
        for surplus in self._kept(connection):
            surplus.end()

    def close(self) -> None:
        """Close what is idle now, and from now on whatever is given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.end()

    def let_go(self, patience: float) -> bool:
        """Close what is idle while the process forks."""
        if not self._lock.acquire(timeout=patience):
            return False
        while self._idle:
            with contextlib.suppress(sqlite3.Error):
                self._idle.pop().end()
        return True

    def go_on(self) -> None:
        """The process forked."""
        self._lock.release()

    def _unused(self) -> Lendable | None:
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if sys.getrefcount(self._idle[index]) == self._idle[index].own_references:
                    return self._idle.pop(index)
        return None

    def _new(self) -> Lendable:
        # Counted, because a connection is referred to by its own cache of statements, and
        # counted here just as in _unused, because versions of Python count differently.
        opened = [open_lendable(self._place)]
        opened[0].own_references = sys.getrefcount(opened[0])
        return opened[0]

    def _kept(self, connection: Lendable) -> list[Lendable]:
        """Keep it if it may be lent again; gives what is to be closed."""
        if not connection.reusable:
            return [connection]
        try:
            connection.take_back()
        except sqlite3.Error:
            # What it was lent for is committed; whatever it has now is no concern of that.
            return [connection]
        with self._lock:
            if self._closed:
                return [connection]
            self._idle.append(connection)
            surplus = self._idle[:-MOST_IDLE]
            del self._idle[:-MOST_IDLE]
        return surplus
