"""The writer: one thread, one connection, one transaction for everything that piled up.

A commit costs a wait for the disk. While it lasts calls pile up, and the next transaction
takes all of them: the busier the store, the less each call pays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncqueue.drivers.sqlite.calls import Call, Outcome, deliver_all
from asyncqueue.drivers.sqlite.changes import Changes
from asyncqueue.drivers.sqlite.connection import (
    begin,
    connect,
    patiently,
    reading_damaged_text,
    roll_back,
)
from asyncqueue.drivers.sqlite.failures import explain, is_unreadable
from asyncqueue.drivers.sqlite.kept_open import KeptOpen
from asyncqueue.drivers.sqlite.schema import upgrade
from asyncqueue.drivers.sqlite.steps import Steps
from asyncqueue.drivers.sqlite.store import Store
from asyncqueue.errors import DriverError, DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.base import Watches
    from asyncqueue.drivers.sqlite.connection import Connection
    from asyncqueue.drivers.sqlite.original import Original
    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.statements import Statements

T = TypeVar("T")
MOST_AT_ONCE: Final = 4096
"""Rows after which a transaction takes no further calls: other processes want to write too."""
LEAST_PATIENCE: Final = 0.1
"""The part of the time to wait for the lock that a call has left, however old it is."""
logger = logging.getLogger(__name__)


class Writer:
    """Executes calls in the order in which they came."""

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
        self._steps = Steps(clock)
        self._watches = watches
        self._original = original
        self._calls: queue.SimpleQueue[Call[Any] | None] = queue.SimpleQueue()
        self._stopping = False
        self._ended = False
        self._synchronous = place.synchronous
        self._changes = Changes(watches, place.path)
        self._kept = KeptOpen(self._connect, self._wake)
        try:
            with self._kept.using() as self._connection:
                upgrade(self._connection, sql, place)
        except BaseException:
            self._kept.close()
            raise
        # A daemon, because a queue that nobody closed must not keep the interpreter alive;
        # SQLite survives an end at any moment.
        self._thread = threading.Thread(
            target=self._run, name="asyncqueue-sqlite-writer", daemon=True
        )
        self._thread.start()

    async def do(self, call: Call[T]) -> T:
        """The answer to a call.

        If the caller is cancelled, a call that has not begun is dropped, and what another did is
        undone where it has an ``undo``.
        """
        future = call.expect()
        self._calls.put(call)
        if self._ended:  # Another event loop has closed the driver just now.
            self._refuse_all()
        try:
            return await future
        except asyncio.CancelledError:
            # The answer may have arrived together with the cancellation.
            if call.undo and future.done() and not future.cancelled() and not future.exception():
                undoing = call.undo(future.result())
                if undoing is not None:
                    self._calls.put(undoing)
            raise

    def notice_changes(self) -> None:
        """Somebody watches now: ring for the commits of others as well."""
        self._changes.start(self._wake)
        self._wake()

    async def stop(self) -> None:
        """Finish what was asked for, then end the thread."""
        try:
            # Behind the answer to this one stand the undone answers of cancelled callers. Where
            # the file is lost they are as well, and the thread is to end all the same.
            with contextlib.suppress(DriverUnavailable):
                await self.do(_nothing())
        finally:
            self._calls.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _wake(self) -> None:
        self._calls.put(_nothing())

    def _run(self) -> None:
        while not self._stopping:
            calls = self._gather()
            if calls:
                outcomes = self._outcomes([call for call in calls if not call.abandoned])
                deliver_all(outcomes, undo=self._calls.put)
            self._look_for_changes()
        self._changes.stop()
        self._kept.close()
        self._ended = True
        self._refuse_all()

    def _refuse_all(self) -> None:
        """Tell those who came too late: a call that got no answer would wait for ever."""
        error = DriverError(f"The sqlite driver on {self._place.path} was closed.")
        with contextlib.suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    deliver_all([Outcome(call, error=error)], undo=lambda _: None)

    def _connect(self) -> Connection:
        self._original.check()
        connection = connect(self._place)
        self._synchronous = self._place.synchronous
        self._changes.follow(connection)
        return connection

    def _gather(self) -> list[Call[Any]]:
        """The calls that piled up; none when it is time to look for changes."""
        calls: list[Call[Any]] = []
        weight = 0
        try:
            call = self._calls.get(timeout=self._changes.pause())
            while call is not None:
                calls.append(call)
                weight += call.weight
                if weight >= MOST_AT_ONCE:
                    return calls
                call = self._calls.get_nowait()
        except queue.Empty:
            return calls
        self._stopping = True
        return calls

    def _look_for_changes(self) -> None:
        if not self._changes.is_due():
            return
        try:
            with self._kept.using() as connection:
                self._changes.look(connection)
        except Exception:
            # Without wake-ups the watches still time out; the next call will tell its caller.
            logger.warning("Cannot look for changes in %s.", self._place.path, exc_info=True)
            self._changes.postpone()

    def _outcomes(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            with self._kept.using() as self._connection:
                if all(call.probe for call in calls):
                    outcomes, calls = self._probe(calls)
                if calls:
                    outcomes += self._together(calls)
        except Exception as error:  # noqa: BLE001 - handed to the callers
            # Callers must be told, whatever it is; a call that got no answer would wait for ever.
            explained = explain(error, self._place)
            outcomes += [Outcome(call, error=explained) for call in calls]
        return outcomes

    def _probe(self, calls: Sequence[Call[Any]]) -> tuple[list[Outcome], list[Call[Any]]]:
        """Ask without the write lock; gives the answers, and the calls that do need it."""
        self._original.check()
        store = Store(self._connection, self._sql, self._clock.time())
        answers = patiently(
            lambda: [call.probe(store) if call.probe else None for call in calls],
            self._place.patience,
        )
        pairs = list(zip(calls, answers, strict=True))
        answered = [Outcome(call, answer) for call, answer in pairs if answer is not None]
        return answered, [call for call, answer in pairs if answer is None]

    def _together(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        self._be_durable(any(call.durable for call in calls))
        begin(self._connection, self._patience(calls))
        try:
            return self._transact(calls)
        except Exception as error:
            alone = len(calls) == 1 or isinstance(error, DriverUnavailable)
            if alone and not is_unreadable(error):
                raise
        # One of them is at fault and nothing was stored: the others must not suffer for it.
        return [self._alone(call) for call in calls]

    def _alone(self, call: Call[Any]) -> Outcome:
        try:
            with reading_damaged_text(self._connection):
                begin(self._connection, self._patience([call]))
                return self._transact([call])[0]
        except Exception as error:  # noqa: BLE001 - see _outcomes
            return Outcome(call, error=explain(error, self._place))

    def _transact(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        store = Store(self._connection, self._sql, self._clock.time())
        try:
            ahead = self._steps.heed(store)
            outcomes = [Outcome(call, call.work(store)) for call in calls]
            # Here and not earlier: waiting for the lock may have taken seconds.
            self._original.check()
            self._connection.execute("COMMIT")
        finally:
            roll_back(self._connection)
        self._steps.heeded(ahead)
        self._watches.ring(store.rung)
        return outcomes

    def _patience(self, calls: Sequence[Call[Any]]) -> float:
        """How long these may wait for the lock: time spent behind others in vain counts."""
        waited = time.monotonic() - min(call.asked_at for call in calls)
        return max(self._place.patience - waited, self._place.patience * LEAST_PATIENCE)

    def _be_durable(self, durable: bool) -> None:
        """Whether the next commit waits for the disk.

        Claims, leases and presence need not: if the machine goes down, so do the workers that
        they belong to, and the jobs are waiting again. A later commit that waits writes the
        earlier ones first, so no settlement can outlive its claim.
        """
        level = self._place.synchronous
        if not durable and level in ("FULL", "EXTRA"):
            level = "NORMAL"
        if level != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level


def _nothing() -> Call[bool]:
    # Not durable, for it may share its transaction with a claim, which must not wait for the disk.
    return Call(lambda _: True, probe=lambda _: True, durable=False)
