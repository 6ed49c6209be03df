"""Everything that a driver has on one event loop while it is open."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from asyncqueue.drivers.postgres.completing import Completing
from asyncqueue.drivers.postgres.joining import work_within
from asyncqueue.drivers.postgres.listening import Listener
from asyncqueue.drivers.postgres.notifying import Notifier
from asyncqueue.drivers.postgres.pool import Pool
from asyncqueue.drivers.postgres.presence import await_endings, retire
from asyncqueue.drivers.postgres.schema import check_server, missing_steps, upgrade
from asyncqueue.drivers.postgres.store import Store
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncqueue.drivers.migrations import Step
    from asyncqueue.drivers.postgres.listening import OpenWatches
    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.statements import Statements
    from asyncqueue.drivers.postgres.store import Executing
    from asyncqueue.drivers.postgres.wire import Connection

T = TypeVar("T")


class Work(Protocol):
    """Does a step on a connection, perhaps in a transaction."""

    async def __call__(self, verb: Callable[[Store], Awaitable[T]], *, atomic: bool = False) -> T:
        """Answer what came of it, which is committed by then."""
        ...


class Session:
    """Connections for the verbs, for looking around, for handlers, and one that listens.

    ``now`` answers the time of a clock that is moved by hand, None where the server's counts.
    ``sender`` signs notifications, so that nobody is told what he said himself. ``put_back`` is
    called when jobs took their old places in their queues again.
    """

    def __init__(
        self,
        place: Place,
        sql: Statements,
        now: Callable[[], float | None],
        watches: OpenWatches,
        sender: str,
        *,
        put_back: Callable[[], object],
    ) -> None:
        self._put_back = put_back
        self._place = place
        self._sql = sql
        self._now = now
        self._watches = watches
        self._sender = sender
        self._working = Pool(place, tuned=True)
        self._looking = Pool(place, tuned=False)
        self.completing = Completing(place, self.store_on, self.settled)
        self.listener = Listener(
            place,
            sql.tables.channel,
            self._sender,
            watches,
            lambda: self.work(lambda store: await_endings(store, self._sender)),
        )
        self._notifier = Notifier(self._sender, self._notify)
        self._end = _at_the_end(self.abandon)

    async def open(self, patience: float) -> None:
        """See :meth:`upgrade`; and listen if somebody watches."""
        try:
            await anext(self._end)
            await self.upgrade(patience)
        except BaseException:
            await self.close()
            raise
        if not self._watches.idle:
            self.listener.watch(frozenset(self._watches.topics()))

    async def upgrade(self, patience: float) -> list[Step]:
        """Create the tables that are missing, change old ones; answers which steps were taken.

        That may take ``patience`` seconds; where nothing is to be done it is known at once.
        """

        async def look(connection: Connection) -> list[Step]:
            check_server(connection, self._place)
            return await missing_steps(self.store_on(connection), self._place)

        missing = await self._looking.run(look)
        if not missing:
            return []
        return await self._looking.run(
            lambda c: upgrade(c, self.store_on(c), self._place),
            patience=max(patience, self._place.patience),
        )

    async def close(self) -> None:
        """Finish what was asked for and let go of the database."""
        await self.completing.close()
        await self.listener.close()
        await asyncio.gather(self._working.drained(), self._looking.drained())
        silent = self._working.silent
        await self._notifier.close(heard=not silent)
        if self.listener.expected_endings and not silent:
            with contextlib.suppress(DriverError):
                await self.work(lambda store: retire(store, self._sender))
        if self._working.silent or self._looking.silent:
            # The same server is at the end of all of them: none gets an answer to its farewell.
            self.abandon()
        await asyncio.gather(self._working.close(), self._looking.close())
        await self._end.aclose()

    def abandon(self) -> None:
        """Drop everything, on behalf of an event loop that ends or is gone."""
        self._working.terminate()
        self._looking.terminate()
        self.completing.terminate()

    def store_on(self, connection: Executing) -> Store:
        """The tables, as seen through this connection."""
        return Store(connection, self._sql, self._now())

    async def work(
        self,
        verb: Callable[[Store], Awaitable[T]],
        *,
        atomic: bool = False,
        undo: Callable[[T], Awaitable[object]] | None = None,
    ) -> T:
        """Do one of the verbs that workers and producers live on."""
        return await self._working.run(lambda c: self._do(c, verb, atomic=atomic), undo=undo)

    async def work_in_steps(
        self,
        verb: Callable[[Work], Awaitable[T]],
        *,
        undo: Callable[[T], Awaitable[object]] | None = None,
        undo_unseen: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """The same of a verb of several steps, each of which is committed by itself."""

        async def steps(connection: Connection) -> T:
            return await verb(partial(self._do, connection))

        return await self._working.run(steps, undo=undo, undo_unseen=undo_unseen)

    async def undone(self) -> None:
        """Return when all that had to be undone is undone."""
        await self._working.undone()

    async def told(self) -> None:
        """Return when others were told of what was done."""
        await self._notifier.told()

    async def look(self, verb: Callable[[Store], Awaitable[T]]) -> T:
        """Read something that no index was made for, perhaps."""
        return await self._looking.run(lambda c: self._do(c, verb))

    async def operate(
        self, verb: Callable[[Store], Awaitable[T]], patience: float, *, atomic: bool = False
    ) -> T:
        """Change what may be a great deal: a server that answers at all may take its time."""
        await self.look(lambda store: store.rows("look.ping"))
        return await self._looking.run(
            lambda c: self._do(c, verb, atomic=atomic), patience=max(patience, self._place.patience)
        )

    async def within(self, within: object, verb: Callable[[Store], Awaitable[T]]) -> T:
        """Do one of the verbs in a transaction of the caller's."""
        return await work_within(within, verb, self._place, self.store_on)

    def settled(self, store: Store) -> None:
        """It is committed: wake those who wait for what this call changed, here and elsewhere."""
        if store.put_back:
            self._put_back()
        endings = [f"job:{id}" for id in store.finished]
        if not self._watches.idle:
            self._watches.ring(store.rung)
            self._watches.ring(endings)
        if not store.told:
            self._notifier.tell(store.rung)
        if store.awaited:
            self._notifier.tell(endings)

    async def _do(
        self, connection: Connection, verb: Callable[[Store], Awaitable[T]], *, atomic: bool = False
    ) -> T:
        store = self.store_on(connection)
        if atomic or self._place.pooled:
            # Behind a pooler only a transaction has one connection from its begin to its end.
            answer = await _in_transaction(connection, lambda: verb(store))
        else:
            store.alone = True
            store.along = self._notifier.along
            answer = await verb(store)
        if store.rung or store.finished:
            self.settled(store)
        return answer

    async def _notify(self, texts: list[str]) -> None:
        channel = self._sql.tables.channel
        await self.work(lambda store: store.rows("presence.notify", channel=channel, texts=texts))


async def _at_the_end(act: Callable[[], object]) -> AsyncGenerator[None]:
    """Does this when it is closed: by its owner, or by asyncio, at the end of the event loop.

    So a queue that nobody closed leaves no connection behind in a process that goes on.
    """
    try:
        yield
    finally:
        act()


async def _in_transaction(connection: Connection, act: Callable[[], Awaitable[T]]) -> T:
    transaction = connection.transaction()
    await transaction.start()
    try:
        answer = await act()
    except BaseException:
        await transaction.rollback()
        raise
    await transaction.commit()
    return answer
