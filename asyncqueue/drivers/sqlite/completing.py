"""A transaction for a handler's own writes that ends with the settlement of its job."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from asyncqueue.drivers.sqlite.connection import begin
from asyncqueue.drivers.sqlite.ending import look_up
from asyncqueue.drivers.sqlite.failures import explained, still_locked
from asyncqueue.drivers.sqlite.pool import Pool
from asyncqueue.drivers.sqlite.settle import settle
from asyncqueue.drivers.sqlite.store import Store
from asyncqueue.errors import DriverError, LeaseLost

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Callable

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.base import Watches
    from asyncqueue.drivers.sqlite.lendable import Lendable
    from asyncqueue.drivers.sqlite.original import Original
    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements
    from asyncqueue.record import Settlement

T = TypeVar("T")
THREADS: Final = 4
"""One for each event loop would do, and hardly anybody has more than one."""


class Completing:
    """Opens such transactions. Each has a connection to itself and holds the write lock.

    Whatever may take time is done in threads that nothing else uses: were they all taken, nobody
    could commit. For the same reason those of one event loop do not wait for the lock in threads,
    but for their turn.
    """

    def __init__(
        self,
        place: Place,
        sql: Statements,
        clock: Clock,
        watches: Watches,
        original: Original,
    ) -> None:
        self._place = place
        self._sql = sql
        self._clock = clock
        self._watches = watches
        self._original = original
        self._pool = Pool(place)
        # Without a shutdown: a block that outlives the driver needs them to roll back, and they
        # end when nobody knows this object any more.
        self._threads = ThreadPoolExecutor(THREADS, "asyncqueue-sqlite-transaction")
        self._steps: set[Future[Any]] = set()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    @contextlib.asynccontextmanager
    async def transaction(self, settlement: Settlement) -> AsyncGenerator[sqlite3.Connection]:
        """See :meth:`asyncqueue.drivers.base.Driver.transaction`."""
        give_up_at = time.monotonic() + self._place.patience
        async with self._turn():
            connection = await self._opened(settlement, give_up_at)
            try:
                yield connection
            except BaseException:
                if await _to_its_end(self._step(connection.end)):
                    raise asyncio.CancelledError from None
                raise
            # A cancellation meanwhile came too late: what counts is how the commit ended.
            await _to_its_end(self._step(self._complete, [connection], settlement))

    async def close(self) -> None:
        """Let go of the file. A block that has not reached its end by now is not committed."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._pool.close()
        wait(tuple(self._steps))

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        try:
            async with asyncio.timeout(self._place.patience):
                await turn.acquire()
        except TimeoutError:
            raise still_locked(self._place) from None
        try:
            yield
        finally:
            turn.release()

    async def _opened(self, settlement: Settlement, give_up_at: float) -> Lendable:
        opening = self._step(self._open, settlement, give_up_at)
        opened = asyncio.wrap_future(opening)
        try:
            return (await asyncio.shield(opened)).pop()
        except asyncio.CancelledError:
            opened.add_done_callback(lambda _: opened.cancelled() or opened.exception())
            # The thread goes on: what it opens must not keep the lock.
            if not opening.cancel():
                opening.add_done_callback(self._discard)
            raise

    def _open(self, settlement: Settlement, give_up_at: float) -> list[Lendable]:
        # First, because opening a connection would create a file that is missing.
        self._original.check()
        with explained(self._place):
            connection = self._pool.take()
            try:
                begin(connection, give_up_at - time.monotonic())
                self._check_held(connection, settlement)
            except BaseException:
                connection.end()
                raise
        # A thread lets go of the result of a step too late: the pool would see a borrower.
        return [connection]

    def _check_held(self, connection: sqlite3.Connection, settlement: Settlement) -> None:
        held = look_up(self._store(connection), (settlement.id,))
        if (settlement.id, settlement.token) not in held:
            raise _lost(settlement)

    def _complete(self, handed_over: list[Lendable], settlement: Settlement) -> None:
        # As for the result of a step, a thread lets go of its arguments too late.
        connection = handed_over.pop()
        try:
            self._commit(connection, settlement)
        except BaseException:
            connection.end()
            raise
        self._pool.give_back(connection)

    def _commit(self, connection: Lendable, settlement: Settlement) -> None:
        self._check_open(settlement)
        if connection.file is None or not connection.in_transaction:
            raise DriverError(
                f"The transaction of job {settlement.id} was ended inside its block, so the job "
                "is not settled; leave commit, rollback and close to the block."
            )
        connection.text_factory = str
        store = self._store(connection)
        with explained(self._place):
            (answer,) = settle(store, [settlement])
            if not answer:
                raise _lost(settlement)
            self._original.check()
            connection.execute("COMMIT")
        settlement.counted = None if answer is True else answer
        self._watches.ring(store.rung)

    def _check_open(self, settlement: Settlement) -> None:
        if self._pool.closed:
            raise DriverError(
                f"The sqlite driver was closed before the transaction of job {settlement.id} "
                "reached its end; nothing was written."
            )

    def _store(self, connection: sqlite3.Connection) -> Store:
        return Store(connection, self._sql, self._clock.time())

    def _discard(self, opening: Future[list[Lendable]]) -> None:
        # This may be called in the thread of the event loop.
        if opening.exception() is None:
            self._step(opening.result().pop().end)

    def _step(self, step: Callable[..., T], *arguments: Any) -> Future[T]:
        future = self._threads.submit(step, *arguments)
        self._steps.add(future)
        future.add_done_callback(self._steps.discard)
        return future


async def _to_its_end(step: Future[None]) -> bool:
    """Wait for a step whatever happens; answers whether a cancellation came meanwhile.

    Its thread cannot be stopped, and a connection that is closed under it takes the whole process
    down.
    """
    cancelled = False
    # No task: the end of asyncio.run() cancels all tasks, even one that is waited for here.
    ended = asyncio.wrap_future(step)
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            cancelled = True
    ended.result()
    return cancelled


def _lost(settlement: Settlement) -> LeaseLost:
    return LeaseLost(
        f"Job {settlement.id} is no longer held with token {settlement.token}; nothing was written."
    )
