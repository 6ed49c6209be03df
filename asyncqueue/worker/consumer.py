"""Claims jobs for a pool of slots and runs one in each."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from asyncqueue.cancellation import raise_if_cancelled
from asyncqueue.execution.verdict import Verdict
from asyncqueue.worker.outage import Outage

if TYPE_CHECKING:
    import logging
    from contextvars import Context as Variables

    from asyncqueue.drivers.base import Driver, Watch
    from asyncqueue.execution.run import Run
    from asyncqueue.execution.runner import Runner
    from asyncqueue.record import Claim, Claimed
    from asyncqueue.worker.holdings import Holding, Holdings
    from asyncqueue.worker.options import Pool, Timing
    from asyncqueue.worker.quota import Quota
    from asyncqueue.worker.settler import Settler


MOST_UNSETTLED: Final = 2_000
"""Outcomes beyond those of the jobs that a pool can hold; while they wait, none is claimed."""


class Consumer:
    """One pool of slots. It claims what fits its free slots (and its prefetch) in one call."""

    def __init__(  # noqa: PLR0913 - what a pump connects
        self,
        pool: Pool,
        driver: Driver,
        runner: Runner,
        settler: Settler,
        holdings: Holdings,
        quota: Quota,
        timing: Timing,
        *,
        worker_id: str,
        prefetch: int,
        variables: Variables,
        log: logging.Logger,
    ) -> None:
        self.running: set[Run] = set()
        self.closed = False
        self.looked_at = -1
        """How many jobs of the worker had ended when this pool last found nothing to claim."""
        self._pool = pool
        self._driver = driver
        self._runner = runner
        self._settler = settler
        self._holdings = holdings
        self._quota = quota
        self._timing = timing
        self._worker_id = worker_id
        self._capacity = pool.slots + prefetch
        self._worthwhile = max(1, prefetch // 2)
        """Room for fewer waits until there is more, as long as there is plenty to claim: each call
        has its price."""
        self._low_water = max(0, prefetch - self._worthwhile)
        """With no more than so many that wait for a slot there is room enough."""
        self._plenty = False
        """Whether the last claim got all that it asked for."""
        self._variables = variables
        self._buffer: deque[Holding] = deque()
        self._freed = asyncio.Event()
        self._quiet: asyncio.Event | None = None
        self._refused: asyncio.Event | None = None
        """Set once the outcome is stored of the last member of a batch that could not be run."""
        self._watch: Watch | None = None
        self._outage = Outage("claim jobs", timing.poll_interval, log)

    async def consume(self) -> None:
        """Claim and start jobs until :meth:`close`."""
        with self._driver.watch(f"queue:{queue}" for queue in self.sources) as watch:
            self._watch = watch
            while not self.closed:
                await self._round(watch)
            self._watch = None

    def close(self) -> None:
        """Start nothing more: hand back what waits here unstarted."""
        self.closed = True
        while self._buffer:
            self._hand_back(self._buffer.popleft().claim)
        self.look_again()

    def look_again(self) -> None:
        """Something changed: look at once instead of waiting."""
        self._freed.set()
        if self._watch is not None:
            self._watch.ring()

    @property
    def sources(self) -> list[str]:
        """The names of the queues it claims from, without their lanes."""
        return [source.queue for source in self._pool.sources]

    @property
    def holds_unstarted(self) -> bool:
        """Whether claimed jobs wait here for a slot."""
        return bool(self._buffer)

    def hand_back_paused(self, paused: frozenset[str]) -> None:
        """Hand back what waits here unstarted of these queues."""
        for holding in [waiting for waiting in self._buffer if waiting.claim.queue in paused]:
            self._buffer.remove(holding)
            self._hand_back(holding.claim)
            self._freed.set()

    async def quiet(self) -> None:
        """Return when nothing runs in this pool."""
        if self.running:
            if self._quiet is None:
                self._quiet = asyncio.Event()
            await self._quiet.wait()

    async def _round(self, watch: Watch) -> None:
        if self._refused is not None:
            await self._refused.wait()  # Others of its batch must not be claimed as good before.
            self._refused = None
        room = self._capacity - len(self.running) - len(self._buffer)
        self._freed.clear()
        if self._plenty and room < self._worthwhile:
            await self._freed.wait()
            return
        if self._settler.is_behind(MOST_UNSETTLED + self._capacity, self._freed):
            await self._freed.wait()
            return
        asked = self._quota.take(room, self._freed)
        if asked <= 0:
            await self._freed.wait()
            return
        watch.clear()
        changes = self._quota.changes
        claimed = await self._claim(asked)
        if claimed is None:
            return
        self._plenty = len(claimed.claims) == asked
        self._quota.give_back(asked - len(claimed.claims))
        await self._accept_all(claimed.claims)
        if len(claimed.claims) < asked and not self.closed:
            there_is_more = claimed.due_in is not None and claimed.due_in <= 0
            if not claimed.claims and not there_is_more:
                self.looked_at = changes
                self._quota.found_nothing()
            await self._wait(watch, claimed)

    async def _wait(self, watch: Watch, found: Claimed) -> None:
        """Wait until it is time to claim; take what the store hands out meanwhile."""
        while True:
            if found.claims:
                await asyncio.sleep(0)  # What came starts before the next one is waited for.
            patience = _shorter(self._timing.poll_interval, found.due_in)
            if self._quota.is_limited:  # A claim that waits would keep it from other pools.
                await watch.wait(patience)
                return
            claimed = await self._claim_next(watch, patience)
            if claimed is None:
                return
            self._runner.hear_time(claimed.now)
            await self._accept_all(claimed.claims)
            if claimed.more or not self._has_only_to_wait():
                return
            found = claimed

    def _has_only_to_wait(self) -> bool:
        """Whether there is nothing else to look after, and room for what may come."""
        return (
            self._refused is None
            and len(self.running) + len(self._buffer) < self._capacity
            and not self._settler.is_behind(MOST_UNSETTLED + self._capacity, self._freed)
        )

    async def _claim_next(self, watch: Watch, patience: float) -> Claimed | None:
        try:
            return await self._driver.claim_next(
                self._pool.sources, self._timing.lease, self._worker_id, watch, patience
            )
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - none ends the pump
            raise_if_cancelled(error)
            await self._pause(self._outage.failed(error))
            return None

    async def _claim(self, limit: int) -> Claimed | None:
        """None where the store could not be asked: after a pause, to be tried again."""
        try:
            claimed = await self._driver.claim(
                self._pool.sources, limit, self._timing.lease, self._worker_id
            )
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - none ends the pump
            raise_if_cancelled(error)
            self._quota.give_back(limit)
            await self._pause(self._outage.failed(error))
            return None
        self._outage.over()
        self._runner.hear_time(claimed.now)
        return claimed

    async def _pause(self, seconds: float) -> None:
        watch = self._watch
        if watch is not None and not self.closed:
            watch.clear()
            await watch.wait(seconds)

    async def _accept_all(self, claims: list[Claim]) -> None:
        changes = self._quota.changes
        for claim in claims:
            self._accept(claim)
        if self._quota.changes != changes:
            # Refused jobs take no slot. However many there are, others must have their turn.
            await asyncio.sleep(0)

    def _accept(self, claim: Claim) -> None:
        former = self._holdings.get(claim.id)
        if former is not None and former.run is not None:
            # Its lease ran out while nobody could renew it: nobody else would tell it.
            former.run.interrupt("lease_lost", self._timing.drain)
        holding = self._holdings.add(claim)
        if self.closed:
            self._hand_back(claim)
        elif len(self.running) < self._pool.slots:
            self._start(holding)
        else:
            self._buffer.append(holding)

    def _start(self, holding: Holding) -> None:
        made = self._runner.prepare(holding.claim)
        if isinstance(made, Verdict):
            if made.claim.latch is not None:
                made.stored = self._refused = asyncio.Event()
            self._settler.put(made)
            self._quota.job_refused()
            return
        holding.run = made
        made.on_abandoned = self._free
        self.running.add(made)
        made.task = asyncio.get_running_loop().create_task(
            self._work(made), context=self._variables.copy()
        )

    def _start_waiting(self, holding: Holding) -> None:
        if self._holdings.get(holding.claim.id) is holding:
            self._start(holding)
            if holding.run is not None and holding.claim.latch is not None:
                holding.run.waited = True
        else:  # Its lease was lost meanwhile, and the job was claimed anew.
            self._quota.give_back(1)

    async def _work(self, run: Run) -> None:
        if run.waited and await self._handed_back(run):
            return
        try:
            self._runner.begin(run)
            outcome = await run.execute()
            self._runner.deadlines.remove(run)
            if run.abandoned:
                return
            verdict = self._runner.judge(run, outcome)
        except (Exception, asyncio.CancelledError, SystemExit):
            # A fault of ours must not take the slot along.
            self._runner.log.critical("%s cannot be run", run.claim.name, exc_info=True)
            self._runner.deadlines.remove(run)
            verdict = None
        if verdict is None:
            self._holdings.drop(run.claim)
        else:
            self._settler.put(verdict)
            if verdict.failed and run.claim.latch is not None:
                await self._free_once_stored(run, verdict)
                return
        self._free(run)

    async def _free_once_stored(self, run: Run, verdict: Verdict) -> None:
        """Keep the slot until the claims of others of its batch say that it was called off."""
        verdict.stored = asyncio.Event()
        try:
            await verdict.stored.wait()
        finally:
            self._free(run)

    async def _handed_back(self, run: Run) -> bool:
        """Hand back a member that waited here, if its batch was called off meanwhile.

        Whether it is to be skipped then is told by the next claim.
        """
        try:
            called_off = await self._runner.is_called_off(run.claim)
        except asyncio.CancelledError:  # By the end of asyncio.run(), before the job has begun.
            called_off = True
        if called_off:
            self._hand_back(run.claim)
            self._free(run, ended=False)
        return called_off

    def _free(self, run: Run, *, ended: bool = True) -> None:
        """The slot of this run can take another job."""
        if run.abandoned:
            self._holdings.drop(run.claim)
        self.running.discard(run)
        if ended:
            self._quota.job_ended()
        while self._buffer and len(self.running) < self._pool.slots:
            self._start_waiting(self._buffer.popleft())
        if self._quiet is not None and not self.running:
            self._quiet.set()
        if len(self._buffer) <= self._low_water or not self._plenty:
            self._freed.set()

    def free_unstarted(self) -> None:
        """Hand back the jobs whose asyncio tasks were cancelled before their first step."""
        for run in tuple(self.running):
            if run.task is not None and run.task.done():
                self._settler.put(self._runner.hand_back(run.claim))
                self._free(run)

    def drop_unstarted(self, holding: Holding) -> bool:
        """Take a claim that waits here out again; False where it is not waiting here."""
        if holding not in self._buffer:
            return False
        self._buffer.remove(holding)
        self._quota.give_back(1)
        self._freed.set()
        return True

    def _hand_back(self, claim: Claim) -> None:
        self._quota.give_back(1)
        self._settler.put(self._runner.hand_back(claim))


def _shorter(interval: float, due_in: float | None) -> float:
    return interval if due_in is None else min(interval, max(due_in, 0.0))
