"""Stores verdicts in groups, then says what happened, then calls the ``failed`` hooks."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.cancellation import raise_if_cancelled
from asyncqueue.errors import DriverError, DriverUnavailable, PartlyUnavailable
from asyncqueue.execution.settlement import COMPLETED
from asyncqueue.record import State
from asyncqueue.worker.outage import Outage

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Callable, Sequence

    from asyncqueue.drivers.base import Driver
    from asyncqueue.execution.report import Reporter
    from asyncqueue.execution.skipping import Skipping
    from asyncqueue.execution.verdict import Verdict
    from asyncqueue.record import Counted, Settlement
    from asyncqueue.worker.holdings import Holdings
    from asyncqueue.worker.hooks import Hooks

MOST_BUGS: Final = 5
"""Tries of a group that the driver meets with an error that is not in its protocol."""
SHORT_PAUSE: Final = 0.2
"""Seconds between two tries at most, once the worker waits for them to end."""


class Settler:
    """Whatever ended while the last call was in flight goes into the next one.

    Nothing is said of an outcome before the store shows it. While the store does not answer,
    verdicts are kept and tried again: their leases go on being renewed. Those that cannot be
    stored when the worker has to end are left to their leases.
    """

    def __init__(
        self,
        driver: Driver,
        holdings: Holdings,
        report: Reporter,
        hooks: Hooks,
        log: logging.Logger,
        on_settled: Callable[[], None],
        skipping: Skipping,
    ) -> None:
        self._driver = driver
        self._holdings = holdings
        self._report = report
        self._log = log
        self._on_settled = on_settled
        self._waiting: list[Verdict] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._unsettled = 0
        self._waiting_for_room: set[asyncio.Event] = set()
        self._late: set[int] = set()
        """The identities of verdicts whose part of the store was away."""
        self._patience = math.inf
        self._closing: asyncio.Timeout | None = None
        self._ending = asyncio.Event()
        self._hooks = hooks
        self._broken: list[str] = []
        self._skipping = skipping
        self._outage = Outage("store how jobs ended", 0.05, log)
        self._partial_outage = Outage("store how some jobs ended", 0.05, log)

    @property
    def idle(self) -> bool:
        """Whether everything was stored and said, and nothing waits for a hook."""
        return not self._unsettled and not self._hooks.waited_for

    def is_behind(self, most: int, waiting: asyncio.Event) -> bool:
        """Whether so many outcomes are still to be stored; ``waiting`` is set once some are.

        Else a worker whose store is slow at settling would run through a whole queue, and if it
        died, or its leases ran out, all of that would run again.
        """
        if self._unsettled < most:
            return False
        self._waiting_for_room.add(waiting)
        return True

    def put(self, verdict: Verdict) -> None:
        """Store this with the next group."""
        if not self._waiting:
            self._wake.set()
        self._waiting.append(verdict)
        self._unsettled += 1

    @contextlib.asynccontextmanager
    async def running(
        self, patience: Callable[[], float], on_end: Callable[[], object]
    ) -> AsyncGenerator[None]:
        """Settle inside the block; at its end store what is left, hooks included.

        ``patience`` tells for how many seconds an unreachable store is waited for then.
        ``on_end`` is called when no more is settled, be it by a fault.
        """
        settling = asyncio.create_task(self._settle(), name="asyncqueue-settler")
        settling.add_done_callback(lambda _: on_end())
        try:
            yield
        finally:
            if settling.cancelling():  # By the end of asyncio.run(), which spares nobody.
                await asyncio.wait([settling])
                settling = asyncio.create_task(self._settle(), name="asyncqueue-settler")
                self._wake.set()
            await self._finish(patience())
            settling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await settling

    def hurry(self, patience: float) -> None:
        """At the end wait for that many seconds only."""
        self._patience = patience
        if self._closing is not None and not self._closing.expired():
            self._closing.reschedule(asyncio.get_running_loop().time() + patience)

    async def _finish(self, patience: float) -> None:
        patience = min(patience, self._patience)
        self._ending.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience) as self._closing:
                while self._unsettled:
                    self._idle.clear()
                    await self._idle.wait()
                await self._hooks.finished()
        self._closing = None
        if self._unsettled:
            self._log.error(
                "%d outcomes could not be stored in %g s; their jobs run again when their "
                "leases run out",
                self._unsettled,
                patience,
            )
        await self._hooks.give_up(patience)

    async def _settle(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    await self._store(group)
                except asyncio.CancelledError:
                    self._waiting = group + self._waiting
                    raise
                except Exception:  # noqa: BLE001 - a logger may raise, too
                    # Whatever it is that broke its word, the next group must not suffer for it.
                    self._log.exception("Settling %d outcomes broke off", len(group))
                    self._leave(group)
                try:
                    await self._skip_delayed()
                finally:
                    self._unsettled -= len(group)
                    while self._waiting_for_room:
                        self._waiting_for_room.pop().set()
                if self._waiting:  # A busy settler is never idle, yet limits have to be kept.
                    self._on_settled()
            self._idle.set()
            self._on_settled()

    async def _store(self, group: list[Verdict], tries: int = MOST_BUGS) -> None:
        bugs = 0
        while True:
            try:
                held = await self._driver.settle(
                    [
                        one.settlement if one.settlement.delay <= 0 else self._as_of_now(one)
                        for one in group
                    ]
                )
            except PartlyUnavailable as error:
                self._store_later([group[n] for n in sorted(error.missing)], error)
                known = [n for n in range(len(group)) if n not in error.missing]
                group, held = [group[n] for n in known], [error.answers[n] for n in known]
                break
            except DriverUnavailable as error:
                await self._pause(self._outage.failed(error))
            except DriverError as error:
                await self._refused(group, error)
                return
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a driver's bug
                raise_if_cancelled(error)
                bugs += 1
                if bugs == tries:
                    await self._refused(group, error, tries=1)
                    return
                await self._pause(self._outage.failed(error))
            else:
                self._outage.over()
                self._stored_at_last(group)
                break
        self._after_all(group, held)

    async def _skip_delayed(self) -> None:
        """Skip at once what is not due of batches that a failure cancelled.

        What is due is skipped when it is claimed; so is this, only later.
        """
        while self._broken:
            try:
                await self._skipping.skip(self._broken[-1], (State.DELAYED,))
            except Exception as error:  # noqa: BLE001 - settling must go on
                self._log.warning(
                    "Delayed jobs of a cancelled batch wait until they are due: %s", error
                )
            self._broken.pop()

    def _as_of_now(self, verdict: Verdict) -> Settlement:
        """The settlement with what is left of its delay, which counts from the attempt's end."""
        settlement, run = verdict.settlement, verdict.run
        if settlement.delay <= 0 or run is None:
            return settlement
        waited = self._driver.clock.monotonic() - (run.started + verdict.duration)
        return msgspec.structs.replace(settlement, delay=max(settlement.delay - waited, 0.0))

    def _store_later(self, verdicts: list[Verdict], error: PartlyUnavailable) -> None:
        """Keep these for another try, so that nobody waits for the part that is away."""
        pause = self._partial_outage.failed(error)
        self._unsettled += len(verdicts)
        self._late.update(map(id, verdicts))
        if self._ending.is_set():
            pause = min(pause, SHORT_PAUSE)
        asyncio.get_running_loop().call_later(pause, self._store_again, verdicts)

    def _store_again(self, verdicts: list[Verdict]) -> None:
        self._waiting += verdicts
        self._wake.set()

    def _stored_at_last(self, verdicts: list[Verdict]) -> None:
        if self._late:
            self._late.difference_update(map(id, verdicts))
            if not self._late:
                self._partial_outage.over()

    async def _pause(self, seconds: float) -> None:
        """Wait for the next try, which comes soon once the worker ends."""
        if self._ending.is_set():
            await asyncio.sleep(min(seconds, SHORT_PAUSE))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def _refused(
        self, group: list[Verdict], error: BaseException, *, tries: int = MOST_BUGS
    ) -> None:
        """The store answers, but refuses: find out which verdict it refuses, and leave that.

        Each alone has ``tries``: a single one where they were tried together often enough, so that
        those that can be stored need not wait long.
        """
        if len(group) > 1:
            for verdict in group:
                await self._store([verdict], tries)
            return
        claim = group[0].claim
        self._leave(group)
        self._log.error(
            "The store refused the outcome of %s %s; the job runs again when its lease runs "
            "out: %s",
            claim.name,
            claim.id,
            error,
        )

    def _leave(self, group: list[Verdict]) -> None:
        """Leave these jobs to their leases."""
        self._late.difference_update(map(id, group))
        for verdict in group:
            self._holdings.drop(verdict.claim)
            if verdict.stored is not None:
                verdict.stored.set()

    def _after_all(self, group: Sequence[Verdict], held: Sequence[bool | Counted]) -> None:
        """What follows from the answers. Most jobs complete, with nobody to be told."""
        is_quiet = self._report.is_quiet
        completed = 0
        for verdict, answer in zip(group, held, strict=True):
            plainly = answer is True and verdict.stored is None
            if is_quiet and plainly and verdict.settlement.state is COMPLETED:
                self._holdings.drop(verdict.claim)
                completed += 1
            else:
                self._after(verdict, answer)
        if completed:
            self._report.totals[COMPLETED] += completed

    def _after(self, verdict: Verdict, answer: bool | Counted) -> None:
        self._holdings.drop(verdict.claim)
        if verdict.stored is not None:
            verdict.stored.set()
        if not answer:
            self._report.lost(verdict)
            return
        self._report.settled(verdict)
        if verdict.settlement.follow_ups:
            self._report.followed(verdict)
        if answer is not True:
            self._report.counted(answer, verdict.settlement.state, verdict.error)
            if answer.broke:
                self._broken.append(answer.tally.id)
        if verdict.failed and verdict.run is not None and verdict.error is not None:
            self._hooks.call(verdict.run, verdict.error, verdict)
