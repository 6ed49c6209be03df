"""A transaction for a handler's own writes that ends with the settlement of its job."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from asyncqueue.drivers.sqlite.connection import begin, connect, roll_back
from asyncqueue.drivers.sqlite.failures import explained
from asyncqueue.drivers.sqlite.settle import look_up, settle
from asyncqueue.drivers.sqlite.store import Store
from asyncqueue.errors import DriverError, LeaseLost

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Callable

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.base import Watches
    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements
    from asyncqueue.record import Settlement

T = TypeVar("T")


class Completing:
    """Opens such transactions. Each has a connection of its own and holds the write lock."""

    def __init__(self, place: Place, sql: Statements, clock: Clock, watches: Watches) -> None:
        self._place = place
        self._sql = sql
        self._clock = clock
        self._watches = watches

    @contextlib.asynccontextmanager
    async def transaction(self, settlement: Settlement) -> AsyncGenerator[sqlite3.Connection]:
        """See :meth:`asyncqueue.drivers.base.Driver.transaction`."""
        opening = _in_thread(self._open, settlement)
        try:
            connection = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on: what it opens must not keep the lock.
            opening.add_done_callback(_discard)
            raise
        try:
            yield connection
            await _to_its_end(_in_thread(self._commit, connection, settlement))
        finally:
            _end(connection)

    def _open(self, settlement: Settlement) -> sqlite3.Connection:
        with explained(self._place):
            connection = connect(self._place)
            connection.text_factory = str
            try:
                begin(connection, self._place.patience)
                self._check_held(connection, settlement)
            except BaseException:
                _end(connection)
                raise
        return connection

    def _check_held(self, connection: sqlite3.Connection, settlement: Settlement) -> None:
        held = look_up(self._store(connection), (settlement.id,))
        if (settlement.id, settlement.token) not in held:
            raise _lost(settlement)

    def _commit(self, connection: sqlite3.Connection, settlement: Settlement) -> None:
        if not connection.in_transaction:
            raise DriverError(
                f"The transaction of job {settlement.id} was ended inside its block, so the job "
                "is not settled; leave commit and rollback to the block."
            )
        store = self._store(connection)
        with explained(self._place):
            if settle(store, [settlement]) != [True]:
                raise _lost(settlement)
            connection.execute("COMMIT")
        self._watches.ring(store.rung)

    def _store(self, connection: sqlite3.Connection) -> Store:
        return Store(connection, self._sql, self._clock.time())


def _in_thread(step: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    # No task: the end of asyncio.run() cancels all tasks, even one that is waited for below.
    return asyncio.get_running_loop().run_in_executor(None, step, *arguments)


async def _to_its_end(commit: asyncio.Future[None]) -> None:
    """Wait for a commit whatever happens.

    Its thread cannot be stopped, and a connection that is closed under it takes the whole process
    down. A cancellation meanwhile came too late: what counts is how the commit ended.
    """
    while not commit.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([commit])
    commit.result()


def _lost(settlement: Settlement) -> LeaseLost:
    return LeaseLost(
        f"Job {settlement.id} is no longer held with token {settlement.token}; nothing was written."
    )


def _discard(opening: asyncio.Future[sqlite3.Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _end(opening.result())


def _end(connection: sqlite3.Connection) -> None:
    try:
        roll_back(connection)
    finally:
        connection.close()
