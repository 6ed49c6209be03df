"""The verbs of the SQLite driver."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, ClassVar

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.base import Driver, Order, Watch, Watches
from asyncqueue.drivers.sqlite import (
    claim,
    diagnose,
    enqueue,
    latches,
    leases,
    look,
    operate,
    permits,
    presence,
    settle,
)
from asyncqueue.drivers.sqlite.calls import Call
from asyncqueue.drivers.sqlite.connection import connect
from asyncqueue.drivers.sqlite.failures import explained
from asyncqueue.drivers.sqlite.joining import enqueue_within
from asyncqueue.drivers.sqlite.limits import Limits
from asyncqueue.drivers.sqlite.names import Tables
from asyncqueue.drivers.sqlite.opened import Opened
from asyncqueue.drivers.sqlite.place import Place, Synchronous, file_path
from asyncqueue.drivers.sqlite.schema import described, upgrade
from asyncqueue.drivers.sqlite.statements import Statements
from asyncqueue.errors import DriverError
from asyncqueue.forks import tell_of_forks
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from asyncqueue.drivers.migrations import Step
    from asyncqueue.drivers.sqlite.reader import Reader
    from asyncqueue.drivers.sqlite.writer import Writer
    from asyncqueue.record import (
        Counted,
        Extension,
        Filter,
        Found,
        Hold,
        Latch,
        Permit,
        Presence,
        QueueCounts,
        Record,
        Settlement,
        Source,
        State,
        Tally,
    )


class SqliteDriver(Driver):
    """Jobs in an SQLite file: durable, for any number of processes on one host.

    ``path`` may be a file that the application uses too; it is put into write-ahead mode.
    ``table`` and ``failed_table`` name the tables, which are created when they are missing.
    ``synchronous``: with ``FULL`` (default) a stored job or outcome survives a power failure;
    with ``NORMAL`` only a crash of the process, and it is faster. ``busy_timeout``: seconds to
    wait for the locks of other connections before ``DriverUnavailable``. ``clock``: where the
    time comes from.

    Constructing does no I/O. Raises ConfigError for settings that cannot be used.
    """

    name: ClassVar[str] = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        table: str = "jobs",
        failed_table: str = "failed_jobs",
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.clock = clock
        self._tables = Tables(table, failed_table)
        self._place = Place(file_path(path), synchronous, busy_timeout)
        self._sql = Statements(self._tables)
        self._watches = Watches()
        self._idle = True
        self._opening = threading.Lock()
        self._opened: Opened | None = None
        self._inherited = False
        tell_of_forks(self)

    @property
    def path(self) -> Path:
        """The database file, absolute."""
        return self._place.path

    def location(self) -> str:
        """``sqlite:////absolute.db``."""
        return f"sqlite:///{self.path}"

    async def migrate(self) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.migrate`."""
        with explained(self._place):
            steps = await asyncio.to_thread(self._upgrade)
        return [described(step, self._tables) for step in steps]

    def _upgrade(self) -> list[Step]:
        with contextlib.closing(connect(self._place)) as connection:
            return upgrade(connection, self._sql, self._place)

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """See :meth:`asyncqueue.drivers.base.Driver.diagnose`."""
        await self._writer.do(Call(lambda _: None, durable=False))
        return await self._reader.read(lambda store: diagnose.findings(store, self._place))

    def clone(self) -> SqliteDriver:
        """A second, unopened handle on the same file, with its own connections."""
        place, tables = self._place, self._tables
        return type(self)(
            place.path,
            table=tables.jobs,
            failed_table=tables.failed,
            synchronous=place.synchronous,
            busy_timeout=place.patience,
            clock=self.clock,
        )

    async def open(self) -> None:
        """Open the file and create the tables if they are missing. Harmless when it is open.

        Raises DriverUnavailable where the file cannot be used, and DriverError where its tables
        belong to another version or to somebody else.
        """
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        with self._opening, explained(self._place):
            if self._opened is not None:
                return
            opened = Opened(self._place, self._sql, self.clock, self._watches)
            self._opened, self._inherited = opened, False
            if not self._watches.idle:
                opened.writer.notice_changes()

    async def close(self) -> None:
        """Finish what was asked for and let go of the file. Harmless when it is closed.

        The block of a :meth:`transaction` that has not reached its end by now will fail there
        with DriverError, and nothing of it is written.
        """
        if self._opening.locked():
            await asyncio.to_thread(self._wait_until_open)
        opened, self._opened, self._inherited = self._opened, None, False
        if opened is not None:
            await opened.close()

    def _wait_until_open(self) -> None:
        with self._opening:
            pass

    def forked(self) -> None:
        """This is a child process: threads and connections are those of its parent."""
        self._opening = threading.Lock()  # Whoever held it is not here to let go of it.
        self._watches = Watches()
        if self._opened is not None:
            self._opened, self._inherited = None, True

    # Move

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        """See :meth:`asyncqueue.drivers.base.Driver.enqueue`.

        ``within`` is a ``sqlite3.Connection`` to the same file that is in a transaction, or
        begins one by itself. Raises TransactionUnsupported for anything else, ValueError for a
        connection to another file.
        """
        enqueue.check(records)
        if within is not None:
            self._reader.original.check()  # Only an open driver is known to have its tables.
            now = self.clock.time()
            return enqueue_within(within, records, latches, self._place, self._sql, now)
        if not records and not latches:
            return []
        now = self.clock.time()
        call = Call(
            lambda store: enqueue.enqueue(store, records, now, latches), weight=len(records)
        )
        return await self._writer.do(call)

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """See :meth:`asyncqueue.drivers.base.Driver.claim`."""
        if limit <= 0:
            return Claimed([])
        call = Call(
            lambda store: claim.claim(store, sources, limit, lease, worker),
            # Where there was something a moment ago there will be more: then do not look twice.
            probe=(lambda store: claim.probe(store, sources)) if self._idle else None,
            undo=_giving_back,
            durable=False,
            weight=limit,
        )
        claimed = await self._writer.do(call)
        self._idle = not claimed.claims
        return claimed

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """See :meth:`asyncqueue.drivers.base.Driver.extend`."""
        call = Call(
            lambda store: leases.extend(store, extensions, lease),
            durable=False,
            weight=len(extensions),
        )
        return await self._writer.do(call)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool | Counted]:
        """See :meth:`asyncqueue.drivers.base.Driver.settle`."""
        settle.check(settlements)
        call = Call(lambda store: settle.settle(store, settlements), weight=len(settlements))
        return await self._writer.do(call)

    # Wait

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics; commits of other processes are noticed within some milliseconds."""
        if self._inherited:
            raise self._not_open()
        first = self._watches.idle
        watch = self._watches.open(topics)
        if first and self._opened is not None:
            self._writer.notice_changes()
        return watch

    async def sweep(self) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.sweep`."""
        returned, more = 0, True
        while more:
            swept = await self._writer.do(Call(leases.sweep, probe=leases.nothing_expired))
            returned, more = returned + swept.returned, swept.more
        return returned

    async def prune(self, failed_retention: float) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.prune`."""
        gone = await self._all_gone(Call(lambda store: operate.prune(store, failed_retention)))
        while await self._writer.do(Call(latches.prune)) == latches.FORGOTTEN_AT_ONCE:
            continue
        await self._writer.do(Call(permits.prune))
        return gone

    # Look

    async def find(
        self,
        which: Filter,
        *,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        order: Order = "created",
    ) -> Found:
        """See :meth:`asyncqueue.drivers.base.Driver.find`."""
        page = (limit, offset, cursor)
        return await self._reader.read(lambda store: look.find(store, which, page, order))

    async def counts(self) -> dict[str, QueueCounts]:
        """See :meth:`asyncqueue.drivers.base.Driver.counts`."""
        return await self._reader.read(look.counts)

    async def count(self, which: Filter) -> int:
        """How many jobs are meant."""
        return await self._reader.read(lambda store: look.count(store, which))

    async def ahead(self, id: str) -> int | None:
        """See :meth:`asyncqueue.drivers.base.Driver.ahead`."""
        return await self._reader.read(lambda store: look.ahead(store, id))

    # Latches

    async def latches(self, ids: Sequence[str] | None = None) -> list[Tally]:
        """See :meth:`asyncqueue.drivers.base.Driver.latches`."""
        return await self._reader.read(lambda store: latches.tallies(store, ids))

    async def call_off(self, ids: Sequence[str]) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.call_off`."""
        return await self._writer.do(Call(lambda store: latches.call_off(store, ids)))

    async def forget_latches(self, ids: Sequence[str]) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.forget_latches`."""
        return await self._writer.do(Call(lambda store: latches.forget(store, ids)))

    # Permits

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """See :meth:`asyncqueue.drivers.base.Driver.acquire`."""
        call = Call(lambda store: permits.acquire(store, key, holder, most, ttl))
        return await self._writer.do(call)

    async def release(self, key: str, holder: str | None = None) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.release`."""
        return await self._writer.do(Call(lambda store: Limits(store).release(key, holder)))

    async def holders(self, key: str) -> list[Permit]:
        """See :meth:`asyncqueue.drivers.base.Driver.holders`."""
        return await self._reader.read(lambda store: permits.holders(store, key))

    # Operate

    async def requeue(self, which: Filter) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.requeue`."""
        return await self._writer.do(Call(lambda store: operate.requeue(store, which)))

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """See :meth:`asyncqueue.drivers.base.Driver.cancel`."""
        return await self._writer.do(Call(lambda store: operate.cancel(store, which, retention)))

    async def delete(self, which: Filter) -> int:
        """See :meth:`asyncqueue.drivers.base.Driver.delete`."""
        return await self._all_gone(Call(lambda store: operate.delete(store, which)))

    async def pause(self, queues: Sequence[str], on: bool) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.pause`."""
        return await self._writer.do(Call(lambda store: operate.pause(store, queues, on)))

    async def paused(self) -> list[str]:
        """The names of the paused queues, sorted."""
        return await self._reader.read(operate.paused)

    # Workers

    async def announce(self, worker: Presence, ttl: float) -> None:
        """See :meth:`asyncqueue.drivers.base.Driver.announce`."""
        call = Call(lambda store: presence.announce(store, worker, ttl), durable=False)
        await self._writer.do(call)

    async def retire(self, worker: str) -> None:
        """A worker ended: forget it."""
        await self._writer.do(Call(lambda store: presence.retire(store, worker), durable=False))

    async def workers(self) -> list[Presence]:
        """See :meth:`asyncqueue.drivers.base.Driver.workers`."""
        return await self._reader.read(presence.workers)

    async def called_off(self, worker: str) -> list[str]:
        """See :meth:`asyncqueue.drivers.base.Driver.called_off`."""
        return await self._reader.read(lambda store: presence.called_off(store, worker))

    # Transactions

    def transaction(
        self, settlement: Settlement
    ) -> AbstractAsyncContextManager[sqlite3.Connection]:
        """See :meth:`asyncqueue.drivers.base.Driver.transaction`.

        It holds SQLite's one write lock from its begin to its end: keep the block short, every
        other writer waits for it. The connection may have served earlier blocks and may serve
        later ones; it is closed instead where the block raised, or did what outlasts it: a PRAGMA
        with an argument, ATTACH, temporary tables, functions and other callbacks. After the block
        the connection writes no more.
        """
        settle.check([settlement])
        return self._open_file.completing.transaction(settlement)

    async def _all_gone(self, call: Call[int]) -> int:
        """Repeat a call that removes a bounded number of jobs until it finds no more."""
        gone = 0
        while True:
            removed = await self._writer.do(call)
            gone += removed
            if removed < operate.REMOVED_AT_ONCE:
                return gone

    @property
    def _writer(self) -> Writer:
        return self._open_file.writer

    @property
    def _reader(self) -> Reader:
        return self._open_file.reader

    @property
    def _open_file(self) -> Opened:
        if self._opened is None:
            raise self._not_open()
        return self._opened

    def _not_open(self) -> DriverError:
        if self._inherited:
            return DriverError(
                f"The sqlite driver on {self.path} was opened before this process was forked; "
                "open a queue of its own in each process, or close and open the driver here."
            )
        return DriverError(f"The sqlite driver on {self.path} is closed; open it first.")


def _giving_back(claimed: Claimed) -> Call[int] | None:
    if not claimed.claims:
        return None
    return Call(lambda store: leases.give_back(store, claimed.claims), durable=False)
