"""A transaction for a handler's own writes that ends with the settlement of its job."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from asyncqueue.drivers.postgres.ending import settle
from asyncqueue.drivers.postgres.failures import explained, silent
from asyncqueue.drivers.postgres.settle import is_held
from asyncqueue.drivers.postgres.wire import open_lending
from asyncqueue.errors import DriverError, LeaseLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.store import Executing, Store
    from asyncqueue.drivers.postgres.wire import Connection, Lending, Transaction
    from asyncqueue.record import Settlement

T = TypeVar("T")


class Completing:
    """Lends connections for such transactions; each is reset when it comes back."""

    def __init__(
        self,
        place: Place,
        store_on: Callable[[Executing], Store],
        settled: Callable[[Store], None],
    ) -> None:
        self._place = place
        self._store_on = store_on
        self._settled = settled
        self._lending: Lending | None = None
        self._closed = False
        self._endings: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def transaction(self, settlement: Settlement) -> AsyncGenerator[Connection]:
        """See :meth:`asyncqueue.drivers.base.Driver.transaction`.

        The row of the job is not locked before the end: its lease goes on being renewed.
        """
        with explained(self._place):
            connection = await self._borrow()
        try:
            with explained(self._place):
                transaction = await self._in_time(self._begin(connection, settlement))
            try:
                yield connection
            except BaseException:
                await self._to_its_end(self._roll_back(connection, transaction))
                raise
            # A cancellation meanwhile came too late: what counts is how the commit ended.
            await self._to_its_end(self._commit(connection, transaction, settlement))
        finally:
            await self._to_its_end(self._take_back(connection))

    async def close(self) -> None:
        """Let go of the database. A block that has not reached its end by now is not committed."""
        self._closed = True
        lending, self._lending = self._lending, None
        while self._endings:
            await asyncio.wait(self._endings)
        if lending is not None:
            lending.terminate()

    def terminate(self) -> None:
        """Drop the connections; harmless when their event loop is gone."""
        self._closed = True
        if self._lending is not None:
            with contextlib.suppress(RuntimeError):
                self._lending.terminate()

    async def _borrow(self) -> Connection:
        self._check_open("a transaction")
        if self._lending is None:
            lending = await open_lending(self._place)
            # Somebody else may have been faster meanwhile.
            self._lending = self._lending or lending
        try:
            return await self._lending.acquire(timeout=self._place.patience)
        except TimeoutError as error:
            raise silent(self._place) from error

    async def _begin(self, connection: Connection, settlement: Settlement) -> Transaction:
        transaction = connection.transaction()
        await transaction.start()
        if not await is_held(self._store_on(connection), settlement):
            await transaction.rollback()
            raise _lost(settlement)
        return transaction

    async def _commit(
        self, connection: Connection, transaction: Transaction, settlement: Settlement
    ) -> None:
        what = f"the transaction of job {settlement.id}"
        store = self._store_on(connection)
        with explained(self._place):
            self._check_open(what)
            if not connection.is_in_transaction():
                raise DriverError(
                    f"The transaction of job {settlement.id} was ended inside its block, so the "
                    "job is not settled; leave commit and rollback to the block."
                )
            (answer,) = await self._in_time(settle(store, [settlement]))
            if answer is False:
                await transaction.rollback()
                raise _lost(settlement)
            await self._in_time(transaction.commit())
        settlement.counted = None if answer is True else answer
        self._settled(store)

    async def _roll_back(self, connection: Connection, transaction: Transaction) -> None:
        # Where that fails the connection is lost, and the server rolls back itself.
        with contextlib.suppress(Exception):
            if connection.is_in_transaction():
                await self._in_time(transaction.rollback())

    async def _take_back(self, connection: Connection) -> None:
        with contextlib.suppress(Exception):
            if connection.is_in_transaction():
                connection.terminate()
        with contextlib.suppress(Exception):
            if self._lending is not None:
                await self._lending.release(connection, timeout=self._place.patience)
            else:
                connection.terminate()

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise DriverError(f"The postgres driver was closed before {what} reached its end.")

    async def _in_time(self, act: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._place.patience):
                return await act
        except TimeoutError as error:
            raise silent(self._place) from error

    async def _to_its_end(self, act: Awaitable[None]) -> None:
        """Wait for an act whatever happens."""
        ending = asyncio.ensure_future(act)
        assert isinstance(ending, asyncio.Task)  # noqa: S101 - it was given a coroutine
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        while not ending.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([ending])
        ending.result()


def _lost(settlement: Settlement) -> LeaseLost:
    return LeaseLost(
        f"Job {settlement.id} is no longer held with token {settlement.token}; nothing was written."
    )
