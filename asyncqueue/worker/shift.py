"""One working period of a worker, from its start to its end.

The order of shutting down is the order of nesting: consumers end first, then the settler stores
what they left, then the sweeper, and the heartbeat goes on until nothing is held any more.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from asyncqueue.execution.runner import Runner
from asyncqueue.worker import announcing
from asyncqueue.worker.consumer import Consumer
from asyncqueue.worker.embedding import Carrier
from asyncqueue.worker.heartbeat import Heartbeat
from asyncqueue.worker.holdings import Holding, Holdings
from asyncqueue.worker.hooks import Hooks
from asyncqueue.worker.memory import resident_mib
from asyncqueue.worker.pauses import Pauses
from asyncqueue.worker.quota import Quota
from asyncqueue.worker.settler import Settler
from asyncqueue.worker.sweeper import Sweeper

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable
    from contextvars import Context as Variables

    from asyncqueue.clock import Timer
    from asyncqueue.interruption import Cause
    from asyncqueue.record import State
    from asyncqueue.worker.worker import Worker

STORE_SHARE: Final = 0.4
"""The part of the time for stopping that is left to store how jobs ended, however they did."""
LAST_BREATH: Final = 0.25
"""Seconds that remain to unwind and to be stored once the time for stopping is over."""


class Shift:
    """Everything that lives from one start of a worker to its end."""

    def __init__(self, worker: Worker, variables: Variables) -> None:
        self.reason = ""
        self.started = False
        """Whether it takes jobs, or has taken them."""
        self.interrupting = False
        """Whether a stop was asked for: what runs now will be cancelled."""
        self._worker = worker
        self._timing = worker.timing
        self._started_at = worker.queue.driver.clock.time()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._hurried_at = math.inf
        self._timers: list[Timer] = []
        self._claiming: list[asyncio.Task[None]] = []
        self._holdings = Holdings()
        self._quota = Quota(
            worker.limits.max_jobs,
            on_used_up=lambda: self.end("max_jobs"),
            on_nothing=self._perhaps_empty,
        )
        self._runner = self._make_runner()
        self._settler = Settler(
            worker.queue.driver,
            self._holdings,
            self._runner.report,
            Hooks(worker.concurrency, worker.queue.driver, worker.log, self._settled),
            worker.log,
            self._settled,
            worker.queue.skipping,
        )
        self._carrier = None if worker.scheduler is None else Carrier(worker.scheduler)
        self._consumers = [
            Consumer(
                pool,
                worker.queue.driver,
                self._runner,
                self._settler,
                self._holdings,
                self._quota,
                self._timing,
                worker_id=worker.id,
                prefetch=worker.prefetch,
                variables=variables,
                log=worker.log,
            )
            for pool in worker.pools
        ]

    @property
    def totals(self) -> Counter[State]:
        """How many attempts ended in which state."""
        return self._runner.report.totals

    @property
    def busy(self) -> int:
        """How many jobs run now."""
        return sum(len(consumer.running) for consumer in self._consumers)

    # Ending it

    def end(self, reason: str) -> None:
        """Take nothing new; what runs may run to its end."""
        if not self._stop.is_set():
            self.reason = reason
            self._stop.set()
            if self._carrier is not None:
                self._carrier.let_go()

    def stop(self, reason: str, grace: float) -> None:
        """Take nothing new; cancel what still runs after ``grace`` seconds."""
        self.end(reason)
        self.interrupting = True
        if grace <= 0:
            self.hurry()
        elif grace < math.inf:
            self._timers.append(self._worker.queue.driver.clock.call_later(grace, self.hurry))

    def hurry(self) -> None:
        """Cancel what runs now."""
        self._hurried_at = min(self._hurried_at, asyncio.get_running_loop().time())
        self._hurry.set()

    async def give_up(self) -> None:
        """Cancel what runs; what has not unwound within a breath is left to its lease."""
        self.hurry()
        running = [run.task for run in self._holdings.runs() if run.task is not None]
        if running:
            await asyncio.wait(running, timeout=LAST_BREATH)
        for run in self._holdings.runs():
            run.interrupt("shutdown", None)
            run.abandon()
        for claiming in self._claiming:
            claiming.cancel()
        self._settler.hurry(LAST_BREATH)

    # Living through it

    async def work(self, started: asyncio.Future[None]) -> None:
        """Work until an end is asked for, then shut down."""
        worker = self._worker
        async with AsyncExitStack() as stack:
            stack.callback(lambda: [timer.cancel() for timer in self._timers])
            stack.push_async_callback(worker.services.leave)
            await worker.services.enter()
            await stack.enter_async_context(self._heartbeat().running())
            sweeper = Sweeper(worker.queue.driver, self._timing, worker.log)
            await stack.enter_async_context(sweeper.running())
            await stack.enter_async_context(
                self._settler.running(self.patience, lambda: self.end("its settler broke"))
            )
            if worker.prefetch:
                pauses = Pauses(worker.queue.driver, self._consumers, worker.log)
                await stack.enter_async_context(pauses.minded())
            stack.callback(self._runner.deadlines.close)
            if self._carrier is not None:
                broken = lambda: self.end("its scheduler broke")  # noqa: E731
                await stack.enter_async_context(self._carrier.carried(self.patience, broken))
            self._arm_limits()
            self.started = True
            started.set_result(None)
            announcing.started(worker)
            await self._consume()

    async def _consume(self) -> None:
        for consumer in self._consumers:
            claiming = asyncio.create_task(consumer.consume(), name="asyncqueue-consumer")
            claiming.add_done_callback(lambda _: self.end("its consumer broke"))
            self._claiming.append(claiming)
        await self._through_the_end_of_the_loop(self._stop.wait)
        self._worker.stop_reason = self.reason
        announcing.stopping(self._worker, self.reason)
        for consumer in self._consumers:
            consumer.close()
        await self._through_the_end_of_the_loop(self._wind_down)
        # A claim may still be on its way: what it brings is handed back. It held up nobody.
        timeout = self.patience() * (1 - STORE_SHARE)
        await asyncio.wait(self._claiming, timeout=timeout)
        for claiming in self._claiming:
            claiming.cancel()
        for broken in await asyncio.gather(*self._claiming, return_exceptions=True):
            if isinstance(broken, Exception):
                raise broken

    async def _through_the_end_of_the_loop(self, step: Callable[[], Awaitable[object]]) -> None:
        """Do it; when the end of ``asyncio.run`` cancels it, and all handlers, stop and go on."""
        try:
            await step()
        except asyncio.CancelledError:
            self.stop("the event loop ends", 0.0)
            for consumer in self._consumers:
                consumer.free_unstarted()
            await step()

    async def _wind_down(self) -> None:
        """Let what runs end: freely, then during the grace, then cancelled."""
        quiet = asyncio.ensure_future(
            asyncio.gather(*(consumer.quiet() for consumer in self._consumers))
        )
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait([quiet, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for consumer in self._consumers:
            for run in tuple(consumer.running):
                run.interrupt("shutdown", self._timing.drain)
        await quiet

    def patience(self) -> float:
        """How many seconds others may take to end what the jobs have left.

        Jobs and store share the time that a drain may take, so that a store that is away makes a
        stop take no longer than a handler that ignores its cancellation.
        """
        drain = self._timing.drain
        most = max(5.0 if drain is None else drain, 1.0)
        waited = max(asyncio.get_running_loop().time() - self._hurried_at, 0.0)
        return max(most - waited, most * STORE_SHARE)

    # Its parts

    def _make_runner(self) -> Runner:
        worker = self._worker
        queue = worker.queue
        return Runner(
            queue.driver,
            queue.registry,
            queue.seal,
            worker.defaults,
            services=worker.services,
            middleware=(*queue.middleware, *worker.middleware),
            listeners=queue.listeners,
            producer=queue,
            lease=self._timing.lease,
            drain=self._timing.drain,
            log=worker.log,
            handler=worker.handler,
            unknown_jobs=worker.unknown_jobs,
            stopping=self._is_stopping,
            worker=worker.id,
        )

    def _heartbeat(self) -> Heartbeat:
        worker = self._worker
        return Heartbeat(
            worker.queue.driver,
            self._holdings,
            announcing.presence(worker, self._started_at),
            lease=self._timing.lease,
            interrupt=self._interrupt,
            restart=lambda: self.end("restart"),
            on_end=lambda: self.end("its heartbeat broke"),
            log=worker.log,
        )

    def _is_stopping(self) -> bool:
        return self.interrupting or self._worker.torn_down()

    def _interrupt(self, holding: Holding, cause: Cause) -> None:
        """Somebody else decided about a job of ours: it was cancelled, or its lease is lost."""
        if self._holdings.get(holding.claim.id) is not holding:
            return
        if holding.run is not None:
            holding.run.interrupt(cause, self._timing.drain)
        elif any(consumer.drop_unstarted(holding) for consumer in self._consumers):
            # Of a lost one the store wants to hear nothing: whatever is said changes nothing.
            self._settler.put(self._runner.call_off(holding.claim))

    # Its limits

    def _arm_limits(self) -> None:
        limits, clock = self._worker.limits, self._worker.queue.driver.clock
        if limits.max_time is not None:
            self._timers.append(clock.call_later(limits.max_time, lambda: self.end("max_time")))

    def _settled(self) -> None:
        most = self._worker.limits.max_memory_mb
        if most is not None and resident_mib() > most:
            self.end("max_memory")
        if self._worker.limits.stop_when_empty:
            self._quota.stored()
            for consumer in self._consumers:
                if not consumer.running:
                    consumer.look_again()

    def _perhaps_empty(self) -> None:
        """End if every pool found nothing since a job of any of them ended, or was stored."""
        if (
            self._worker.limits.stop_when_empty
            and self._settler.idle
            and all(
                not consumer.running and consumer.looked_at == self._quota.changes
                for consumer in self._consumers
            )
        ):
            self.end("empty")
