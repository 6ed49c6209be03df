"""The driver protocol: about a dozen verbs that store and move records and decide nothing.

``enqueue``, ``claim``, ``settle``, ``find`` and ``counts`` make a working driver; every other
verb has a default here that is correct, if plain. A driver may be used from one event loop at
a time; :meth:`Driver.clone` gives a second handle on the same store for another one.

:class:`asyncqueue.testing.DriverConformance` is the suite that every driver must pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.errors import DriverError, TransactionUnsupported
from asyncqueue.record import Hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.record import (
        Claimed,
        Extension,
        Filter,
        Found,
        Presence,
        QueueCounts,
        Record,
        Settlement,
        Source,
        State,
    )

Order = Literal["created", "finished"]


class Watch:
    """A latch that rings when something may have happened to one of its topics.

    Topics are ``queue:NAME`` (a job may be claimable there, or it was paused), ``job:ID`` (it may
    have finished) and ``worker:ID`` (one of its jobs may have been cancelled). A ring between
    two waits is remembered, so :meth:`clear`, look, :meth:`wait` misses nothing.
    """

    def __init__(self, topics: Iterable[str], watches: Watches | None = None) -> None:
        self.topics = frozenset(topics)
        self._watches = watches
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._event = asyncio.Event()
        self._rung = False

    def ring(self) -> None:
        """Wake the waiter, from whatever thread."""
        if self._rung:
            return
        self._rung = True
        # The loop of a waiter that is gone may be closed: nobody is left to wake.
        with contextlib.suppress(RuntimeError):
            if threading.get_ident() == self._thread:
                self._event.set()
            else:
                self._loop.call_soon_threadsafe(self._event.set)

    @property
    def rung(self) -> bool:
        """Whether it rang since :meth:`clear`."""
        return self._event.is_set()

    def clear(self) -> None:
        """Forget the rings until now: call it before you look."""
        self._rung = False
        self._event.clear()

    async def wait(self, timeout: float | None) -> None:
        """Return when it rang since :meth:`clear`, or after ``timeout`` seconds."""
        if not self._event.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._event.wait()

    def close(self) -> None:
        """Stop watching."""
        if self._watches is not None:
            self._watches.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Watches:
    """The open watches of one store, by topic. Safe from any thread."""

    idle: bool = True
    """True while there is none: drivers ask before they make up topics to ring."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, set[Watch]] = {}

    def __len__(self) -> int:
        return len({watch for watches in tuple(self._open.values()) for watch in tuple(watches)})

    def open(self, topics: Iterable[str]) -> Watch:
        """A new watch on these topics."""
        watch = Watch(topics, self)
        with self._lock:
            for topic in watch.topics:
                self._open.setdefault(topic, set()).add(watch)
            self.idle = not self._open
        return watch

    def discard(self, watch: Watch) -> None:
        """Forget this watch."""
        with self._lock:
            for topic in watch.topics:
                watches = self._open.get(topic, set())
                watches.discard(watch)
                if not watches:
                    self._open.pop(topic, None)
            self.idle = not self._open

    def topics(self) -> set[str]:
        """What is watched at this moment."""
        with self._lock:
            return set(self._open)

    def ring(self, topics: Iterable[str]) -> None:
        """Ring every watch on one of these topics."""
        for topic in topics:
            for watch in tuple(self._open.get(topic, ())):
                watch.ring()

    def ring_all(self) -> None:
        """Ring every watch: something changed and nobody knows what."""
        for watches in tuple(self._open.values()):
            for watch in tuple(watches):
                watch.ring()


class Driver(ABC):
    """A store of jobs.

    Atomic means: if the process dies in the middle, all of the call happened or none of it.
    Every verb raises :class:`~asyncqueue.errors.DriverUnavailable` when the store cannot be
    reached within a bounded time, and no exception of the library beneath it.
    """

    name: ClassVar[str]
    """How the driver is called in banners and errors."""
    in_process: ClassVar[bool] = False
    """True where producer and worker always share one process."""
    remote: ClassVar[bool] = False
    """True where the store is a server, which may be away for a while and come back by itself."""
    clock: Clock = SYSTEM_CLOCK

    async def open(self) -> None:
        """Connect and prepare the store. Harmless when it is open."""
        return

    async def close(self) -> None:
        """Let go of the store. Harmless when it is closed."""
        return

    def clone(self) -> Driver:
        """A second, unopened handle on the same store, with its own connection."""
        raise DriverError(f"The {self.name} driver has no second handle to give.")

    async def ping(self) -> None:
        """Raise :class:`~asyncqueue.errors.DriverUnavailable` unless the store answers. Cheap."""
        await self.paused()

    def location(self) -> str:
        """Where the store is, as a URL without secrets; for banners and messages."""
        return f"{self.name}://"

    def schema_sql(self) -> str:
        """The SQL with which :meth:`open` creates what is missing; for those who run it themselves.

        Asked of a driver that need not be open. Raises DriverError where the store has no SQL.
        """
        raise self._cannot("print its schema: its store has none in SQL")

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """What ``asyncqueue doctor`` should tell of this store: (what, whether it is fine, text).

        Asked of an open driver. The text of what is not fine says what to do.
        """
        return []

    # Move

    @abstractmethod
    async def enqueue(
        self, records: Sequence[Record], *, within: object | None = None
    ) -> list[str | None]:
        """Store all records or none; durable when it returns.

        Answers for each record None if it was stored, else the id of the live or finished job
        that has its id, or of the live one that holds its key: that record stored nothing.
        With ``within`` the records are written through the caller's own connection, as part of
        its transaction, which is neither committed nor closed.
        """

    @abstractmethod
    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """Claim up to ``limit`` due jobs for ``lease`` seconds, atomically.

        Sources strictly in their order; within one by priority, higher first, then by due time,
        then by order of dispatch. Counts the attempt and the token. Paused queues give none.
        """

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """Renew leases to ``lease`` seconds from now and keep the progress they carry."""
        return [Hold.HELD] * len(extensions)

    @abstractmethod
    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """End claims; answers which were still held. Each is atomic, stale ones change nothing."""

    # Wait

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics. A watch that never rings is a correct implementation."""
        return Watch(topics)

    async def sweep(self) -> int:
        """Return jobs whose lease ran out to the front of their queue; answers how many.

        The attempt stays counted. Any number of workers may call it at any time.
        """
        return 0

    async def prune(self, failed_retention: float) -> int:
        """Remove finished records past their retention and failed ones older than this."""
        return 0

    # Look

    @abstractmethod
    async def find(
        self,
        which: Filter,
        *,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        order: Order = "created",
    ) -> Found:
        """Jobs, newest first by order of dispatch or of finishing; expired ones are left out."""

    @abstractmethod
    async def counts(self) -> dict[str, QueueCounts]:
        """Counts by queue, of every queue that has or lately had a job, or is paused."""

    async def count(self, which: Filter) -> int:
        """How many jobs are meant."""
        return len((await self.find(which, limit=2**31)).items)

    # Operate

    async def requeue(self, which: Filter) -> list[str]:
        """Move failed jobs back to pending with fresh counts, atomically; answers their ids."""
        raise self._cannot("requeue failed jobs")

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """Cancel what waits, ask for the cancellation of what runs; answers the state met.

        Waiting jobs become ``cancelled`` at once and are kept for ``retention`` seconds.
        """
        raise self._cannot("cancel jobs")

    async def delete(self, which: Filter) -> int:
        """Remove jobs that are not being processed; answers how many went."""
        raise self._cannot("delete jobs")

    async def pause(self, queues: Sequence[str], on: bool) -> list[str]:
        """Pause or resume queues; answers those that changed. What runs is left alone."""
        raise self._cannot("pause queues")

    async def paused(self) -> list[str]:
        """The names of the paused queues, sorted."""
        return []

    # Workers

    async def announce(self, worker: Presence, ttl: float) -> None:
        """Keep a worker visible for ``ttl`` seconds."""
        return

    async def retire(self, worker: str) -> None:
        """A worker ended: forget it."""
        return

    async def workers(self) -> list[Presence]:
        """Workers that were announced and whose time to live is not over."""
        return []

    async def called_off(self, worker: str) -> list[str]:
        """Ids of this worker's claims whose cancellation was asked for. Cheap: asked often."""
        return []

    # Transactions

    def transaction(self, settlement: Settlement) -> AbstractAsyncContextManager[Any]:
        """A transaction of the store that ends with this settlement.

        Gives the store's own connection. At the end of the block the settlement is applied and
        the transaction committed; a lost claim or an exception rolls everything back.
        """
        raise TransactionUnsupported(
            f"The {self.name} driver has no transactions; use sqlite or postgres."
        )

    def refuse_within(self, within: object | None) -> None:
        """Raise :class:`~asyncqueue.errors.TransactionUnsupported` if a transaction is given."""
        if within is not None:
            raise TransactionUnsupported(
                f"The {self.name} driver cannot join a transaction of "
                f"{type(within).__module__}.{type(within).__qualname__}; "
                "use sqlite or postgres, or dispatch after your commit."
            )

    def _cannot(self, what: str) -> DriverError:
        return DriverError(f"The {self.name} driver cannot {what}.")
