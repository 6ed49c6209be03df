"""The driver protocol: about a dozen verbs that store and move records and decide nothing.

``enqueue``, ``claim``, ``settle``, ``find`` and ``counts`` make a working driver; every other
verb has a default here that is correct, if plain. A driver may be used from one event loop at
a time; :meth:`Driver.clone` gives a second handle on the same store for another one.

:class:`asyncqueue.testing.DriverConformance` is the suite that every driver must pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.watches import Watch, Watches
from asyncqueue.errors import DriverError, TransactionUnsupported
from asyncqueue.record import Hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.record import (
        Claimed,
        Counted,
        Extension,
        Filter,
        Found,
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

__all__ = ["Driver", "Order", "Watch", "Watches"]

Order = Literal["created", "finished"]


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
    enqueues_at_once: ClassVar[int] = 1
    """How many calls of :meth:`enqueue` a busy producer has in flight. More than one is worth it
    where the store keeps them in order, and can work on one while the next is being made."""
    fifo: bool = True
    """False where the store is in several parts, and jobs of equal priority are claimed in order of
    dispatch only within each: drivers say so to the conformance suite and to their users."""
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

    def schema_sql(self, since: int = 0) -> str:
        """The SQL that makes the newest schema of one of that version; 0 is an empty store.

        For those who run it themselves. Asked of a driver that need not be open. Raises
        DriverError where the store has no SQL, or there is no such version.
        """
        raise self._cannot("print its schema: its store has none in SQL")

    async def migrate(self) -> list[str]:
        """Bring the schema up to date, however long it takes; answers what was done, a line each.

        Asked of a driver that need not be open, and leaves it to be closed. :meth:`open` does the
        same, with less patience.
        """
        await self.open()
        return []

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """What ``asyncqueue doctor`` should tell of this store: (what, whether it is fine, text).

        Asked of an open driver. The text of what is not fine says what to do.
        """
        return []

    # Move

    @abstractmethod
    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        """Store all records and latches or none; durable when it returns.

        Answers for each record None if it was stored, else the id of the live or finished job
        that has its id, or of the live one that holds its key: that record stored nothing.
        A stored member counts in the total of its latch, which is one of ``latches`` or was stored
        earlier and has not opened: else nothing is stored and DriverError raised. So it is for a
        latch whose id is taken. Drivers that have no latches are given none.
        With ``within`` the records are written through the caller's own connection, as part of
        its transaction, which is neither committed nor closed.
        """

    def before(self, records: Sequence[Record], following: Sequence[Record]) -> Sequence[Record]:
        """These records as they are to be stored, so that the others can follow them later.

        Raises DriverError where the limits of those could not be heeded where they will be stored.
        """
        del following
        return records

    @abstractmethod
    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """Claim up to ``limit`` due jobs for ``lease`` seconds, atomically.

        Sources strictly in their order; within one by priority, higher first, then by due time,
        then by order of dispatch; jobs with ``fair`` keys take turns within their priority. Counts
        the attempt and the token. Paused queues give none. A job whose limits have no permit left
        is passed over, and those behind it are claimed instead; as soon as there is a permit, its
        queue is rung, or ``due_in`` told when that will be. However many such jobs wait, they
        cost a claim nothing once they were passed over. The answer may tell the store's time, by
        which ``retry_until`` is judged then, whatever the clock of the worker says.
        """

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """Renew leases to ``lease`` seconds from now and keep the progress they carry."""
        return [Hold.HELD] * len(extensions)

    @abstractmethod
    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool | Counted]:
        """End claims; answers which were still held. Each is atomic, stale ones change nothing.

        For a member of a latch that ended (completed, failed or cancelled) the answer is what the
        latch counts then: the member moved from pending to completed, failed or skipped, once.
        In the same step a latch calls its members off, opens, and lets go of those it holds back,
        which are pending from then on, or delayed by what their records say.
        """

    # Wait

    def watch(self, topics: Iterable[str]) -> Watch:
        """Watch topics. A watch that never rings is a correct implementation."""
        return Watch(topics)

    async def claim_next(
        self, sources: Sequence[Source], lease: float, worker: str, watch: Watch, patience: float
    ) -> Claimed | None:
        """Return when the watch rings, or after ``patience`` seconds: it is time to claim again.

        A store that can hands the next job to who waits, in the step that makes it claimable: then
        this answers what a claim of a single job would have. Such an answer may come at any
        time, and be empty. Where the job of a ring came by this answer, the watch need not ring.
        Only for who just found less to claim than he has room for.
        """
        await watch.wait(patience)
        return None

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

    async def ahead(self, id: str) -> int | None:
        """How many jobs would be claimed before a due one of its queue; None if it is not due.

        Where the store is in several parts, how many of its own part.
        """
        return None

    # Latches

    async def latches(self, ids: Sequence[str] | None = None) -> list[Tally]:
        """The latches of these ids that are known, or all there are, newest first."""
        raise self._cannot("count jobs that belong together: it has no batches and no chains")

    async def call_off(self, ids: Sequence[str]) -> list[str]:
        """Call latches off that have not opened; answers those that were not called off before."""
        raise self._cannot("call off a batch")

    async def forget_latches(self, ids: Sequence[str]) -> int:
        """Remove latches with all that they hold back; their members stay. Answers how many."""
        raise self._cannot("forget a batch")

    @property
    def has_latches(self) -> bool:
        """Whether it keeps latches, and with them the follow-ups of settlements."""
        return type(self).latches is not Driver.latches

    # Permits

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """Take one of ``most`` permits of a key for ``ttl`` seconds; 0.0 if that succeeded.

        Else the number of seconds until one of those that are taken expires. Who holds one already
        keeps it, for ``ttl`` seconds from now. Atomic over all handles.
        """
        raise self._cannot("limit how many jobs run at a time")

    async def release(self, key: str, holder: str | None = None) -> int:
        """Give the permit of a holder back, or all of a key; answers how many there were."""
        raise self._cannot("limit how many jobs run at a time")

    async def holders(self, key: str) -> list[Permit]:
        """The permits of a key that are taken, the first to expire first, the endless last."""
        raise self._cannot("limit how many jobs run at a time")

    @property
    def has_limits(self) -> bool:
        """Whether it keeps permits, and heeds the limits and fair keys of records."""
        return type(self).acquire is not Driver.acquire

    # Operate
    #
    # Members that wait and are cancelled or deleted count as skipped. A failed member that is
    # requeued is pending again in the count of its latch, opened or not, and not called off.

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
        the transaction committed; a lost claim or an exception rolls everything back. What a
        latch counts then is left in ``settlement.counted``.
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
