"""The connections that the driver's verbs take turns on."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncqueue.drivers.postgres.failures import (
    explained,
    is_worth_a_retry,
    never_sent,
    silent,
)
from asyncqueue.drivers.postgres.wire import Alarm, connect
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.wire import Connection

T = TypeVar("T")
TRIES: Final = 5
"""Of a call of which nothing was done."""
SLACK: Final = 0.25
"""Seconds after the server's own limit before a connection counts as dead."""
FAREWELL: Final = 0.5
"""Seconds for a connection to end in good order; and seconds without any answer after which who
closes the pool does not wait for one."""


class Pool:
    """Up to ``place.pool_size`` connections on one event loop, opened when they are needed.

    A call that was begun is brought to its end whatever becomes of its caller, so that no
    connection is ever left in the middle of something. One that gets no answer in time costs its
    connection, and all those that are idle.
    """

    def __init__(self, place: Place, *, tuned: bool) -> None:
        self._place = place
        self._tuned = tuned
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._busy = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._calls: set[asyncio.Task[object]] = set()
        self._undoing: set[asyncio.Task[object]] = set()
        self._at_work: set[Connection] = set()
        self._waits: set[asyncio.Timeout] = set()
        self._given_up = False
        self._suspect = False
        """Whether the last that was heard of the server is that it did not answer."""

    async def run(
        self,
        call: Callable[[Connection], Awaitable[T]],
        *,
        undo: Callable[[T], Awaitable[object]] | None = None,
        undo_unseen: Callable[[], Awaitable[object]] | None = None,
        patience: float | None = None,
    ) -> T:
        """Do something on a connection of the pool.

        Raises DriverUnavailable after ``patience`` seconds (default: those of the place) in which
        nothing was answered: a server that is slow at each of many statements is not away. If the
        caller is cancelled, ``undo`` is done to what came of it. Where the end of the event loop
        cancels the call as well, nobody sees that: then ``undo_unseen`` is done and waited for.
        """
        seconds = (self._place.patience if patience is None else patience) + SLACK
        calling = self._start(self._repeat(call, seconds))
        try:
            return await asyncio.shield(calling)
        except asyncio.CancelledError:
            if calling.cancelling():
                await self._cut_off(calling, undo_unseen)
            elif undo is None:
                calling.add_done_callback(_unheard)
            else:
                undoing = self._start(self._undo(calling, undo))
                self._undoing.add(undoing)
                undoing.add_done_callback(self._undoing.discard)
            raise

    async def undone(self) -> None:
        """Return when nothing is left of calls whose callers were cancelled."""
        while self._undoing:
            await asyncio.wait(self._undoing)

    @property
    def silent(self) -> bool:
        """Whether the server is to be taken for one that does not answer."""
        return self._suspect or self._given_up

    async def drained(self) -> None:
        """Return when nothing is in flight. What gets no answer meanwhile is given up."""
        while self._calls:
            ended, _ = await asyncio.wait(
                self._calls,
                timeout=0 if self._suspect else FAREWELL,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ended:
                self._give_up()

    def _give_up(self) -> None:
        self._given_up = True
        for connection in self._at_work:
            connection.terminate()
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(self._loop.time())
        self.terminate()

    async def close(self) -> None:
        """Wait for what is in flight, then close all connections."""
        await self.drained()
        if self._suspect:
            self.terminate()
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_bid_farewell, idle))

    def terminate(self) -> None:
        """Drop the idle connections; harmless when their event loop is gone."""
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(RuntimeError):
                connection.terminate()

    async def _cut_off(
        self, calling: asyncio.Task[T], undo_unseen: Callable[[], Awaitable[object]] | None
    ) -> None:
        await asyncio.wait([calling])
        if undo_unseen is not None:
            # Where that fails it is done by the lease, which nobody renews.
            with contextlib.suppress(DriverError):
                await undo_unseen()

    def _start(self, act: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(act)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    async def _undo(self, calling: asyncio.Task[T], undo: Callable[[T], Awaitable[object]]) -> None:
        await asyncio.wait([calling])
        if calling.exception() is None:
            # Where that fails it is done by the lease, which nobody renews.
            with contextlib.suppress(DriverError):
                await undo(calling.result())

    async def _repeat(self, call: Callable[[Connection], Awaitable[T]], seconds: float) -> T:
        give_up_at = self._loop.time() + seconds
        for last in (*[False] * (TRIES - 1), True):
            try:
                return await self._call(call, give_up_at, seconds)
            except Exception as error:
                if last or not is_worth_a_retry(error):
                    with explained(self._place):
                        raise
        raise AssertionError

    async def _call(
        self, call: Callable[[Connection], Awaitable[T]], give_up_at: float, seconds: float
    ) -> T:
        connection = await self._take(give_up_at)
        self._at_work.add(connection)
        alarm = Alarm(self._loop, connection, give_up_at, seconds)
        try:
            answer = await call(connection)
        except asyncio.CancelledError:
            # Only at the end of asyncio.run(), which spares nobody.
            connection.terminate()
            raise
        except Exception as error:
            if never_sent(error):
                connection.terminate()
            if alarm.rang:
                raise self._silence() from error
            raise
        else:
            self._suspect = False
            return answer
        finally:
            alarm.cancel()
            self._at_work.discard(connection)
            self._give_back(connection)

    async def _take(self, give_up_at: float) -> Connection:
        if self._given_up:
            raise silent(self._place)
        if self._busy < self._place.pool_size and (connection := self._pop_idle()) is not None:
            self._busy += 1
            return connection
        wait = asyncio.timeout_at(give_up_at)
        self._waits.add(wait)
        try:
            async with wait:
                while self._busy >= self._place.pool_size:
                    await self._turn()
                return await self._idle_or_new(give_up_at)
        except TimeoutError as error:
            raise self._silence() from error
        finally:
            self._waits.discard(wait)

    def _silence(self) -> Exception:
        """What to raise where no answer comes: idle connections are most likely just as dead."""
        self._suspect = True
        self.terminate()
        return silent(self._place)

    async def _turn(self) -> None:
        turn = self._loop.create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._queue:
                self._queue.remove(turn)
            else:
                self._wake_next()
            raise

    async def _idle_or_new(self, give_up_at: float) -> Connection:
        self._busy += 1
        try:
            if (connection := self._pop_idle()) is not None:
                return connection
            seconds = max(0.001, give_up_at - self._loop.time())
            return await connect(self._place, tuned=self._tuned, timeout=seconds)
        except BaseException:
            self._free()
            raise

    def _pop_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _give_back(self, connection: Connection) -> None:
        if not connection.is_closed():
            if connection.is_in_transaction():
                connection.terminate()
            else:
                self._idle.append(connection)
        self._free()

    def _free(self) -> None:
        self._busy -= 1
        self._wake_next()

    def _wake_next(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def _unheard(calling: asyncio.Task[Any]) -> None:
    """Whoever called has gone: what becomes of it is nobody's any more."""
    if not calling.cancelled():
        calling.exception()


async def _bid_farewell(connection: Connection) -> None:
    # Whoever does not take his leave in time is dropped by asyncpg itself.
    try:
        await connection.close(timeout=FAREWELL)
    except Exception:  # noqa: BLE001 - it is gone, which is what was wanted
        connection.terminate()
