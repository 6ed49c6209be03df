"""Jobs taken and run by hand, one at a time, in the caller's event loop and without a worker."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Self

from asyncqueue import codec
from asyncqueue.execution.following import hook_ended
from asyncqueue.execution.report import call_failed_hook
from asyncqueue.execution.runner import Runner
from asyncqueue.execution.verdict import Verdict
from asyncqueue.ids import new_id
from asyncqueue.lanes import source_of
from asyncqueue.record import State
from asyncqueue.services import Services
from asyncqueue.testing.attempt import Attempt, attempt_of, attempt_without_verdict
from asyncqueue.worker.options import defaults_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncqueue.execution.outcome import Outcome
    from asyncqueue.execution.run import Run
    from asyncqueue.job import Job
    from asyncqueue.queue import Queue
    from asyncqueue.record import Claim, Source

DRAIN: Final = 5.0
"""Seconds that a cancelled handler has to unwind, as with a worker."""
LOOK: Final = 0.25
"""Seconds between two looks for cancellations, where the driver does not tell of them."""
log = logging.getLogger("asyncqueue.worker")


class Hand:
    """Claims jobs of a queue and runs them as a worker with one slot would.

    Middleware, services, timeouts, the backoff, the ``failed`` hook, events: all of a worker
    but its pumps. Nothing renews leases.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        services: Sequence[Any] | Mapping[str, Any] = (),
        middleware: Sequence[Callable[..., Any]] = (),
        producer: Queue | None = None,
    ) -> None:
        self.queue = queue
        self._name = new_id()
        self._running: Run | None = None
        self._heeding: asyncio.Task[None] | None = None
        self._services = Services(queue.services, services)
        self._runner = Runner(
            queue.driver,
            queue.registry,
            queue.seal,
            defaults_of(None, None, None, queue.settings),
            services=self._services,
            middleware=(*queue.middleware, *middleware),
            listeners=queue.listeners,
            producer=producer or queue,
            lease=queue.settings.lease,
            drain=DRAIN,
            log=log,
        )

    async def __aenter__(self) -> Self:
        await self.queue.ready()
        await self._services.enter()
        self._heeding = asyncio.create_task(self._heed_cancellations())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._runner.deadlines.close()
        heeding = self._heeding
        if heeding is not None:
            heeding.cancel()
            await asyncio.wait([heeding])
        await self._services.leave()
        await self.queue.listeners.drained()
        if heeding is not None and not heeding.cancelled():
            heeding.result()

    async def claim(self, sources: Sequence[Source]) -> Claim | None:
        """The next due job of these sources; None where there is none."""
        driver = await self.queue.ready()
        claimed = await driver.claim(sources, 1, self.queue.settings.lease, self._name)
        self._runner.hear_time(claimed.now)
        return claimed.claims[0] if claimed.claims else None

    async def run(self, claim: Claim) -> Attempt:
        """Run a claimed job and store how it ended.

        Cancelled, it cancels the job, hands it back with its attempt, and raises on.
        """
        made = self._runner.prepare(claim)
        if isinstance(made, Verdict):
            return await self._settle(made)
        outcome, cancelled = await self._perform(made)
        verdict = None if made.abandoned else self._runner.judge(made, outcome)
        attempt = attempt_without_verdict(claim, made)
        if verdict is not None:
            attempt = await self._settle(verdict)
        if cancelled is not None:
            raise cancelled
        return attempt

    async def _perform(self, run: Run) -> tuple[Outcome | Any, asyncio.CancelledError | None]:
        loop = asyncio.get_running_loop()
        leaked: asyncio.Future[None] = loop.create_future()

        def leak(_run: Run) -> None:
            leaked.set_result(None)

        run.on_abandoned = leak
        # A task of its own, as in a worker: what a handler does to its context stays there.
        self._running = run
        run.task = task = loop.create_task(self._runner.perform(run))
        cancelled: asyncio.CancelledError | None = None
        while not task.done() and not leaked.done():
            try:
                await asyncio.wait([task, leaked], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = error
                run.interrupt("shutdown", DRAIN)
        return task.result() if task.done() else None, cancelled

    async def _heed_cancellations(self) -> None:
        """Cancel the running job when somebody asks for that."""
        driver = self.queue.driver
        with driver.watch([f"worker:{self._name}"]) as watch:
            while True:
                watch.clear()
                called_off = await driver.called_off(self._name)
                if self._running is not None and self._running.claim.id in called_off:
                    self._running.interrupt("cancelled", DRAIN)
                await watch.wait(LOOK)

    async def _settle(self, verdict: Verdict) -> Attempt:
        (held,) = await self.queue.driver.settle([verdict.settlement])
        if not held:
            self._runner.report.lost(verdict)
            return attempt_without_verdict(verdict.claim)
        self._runner.report.settled(verdict)
        self._runner.report.followed(verdict)
        if not isinstance(held, bool):
            self._runner.report.counted(held, verdict.settlement.state, verdict.error)
            if held.broke:
                await self.queue.skipping.skip(held.tally.id, (State.DELAYED,))
        if verdict.failed and verdict.run is not None and verdict.error is not None:
            await call_failed_hook(verdict.run, verdict.error, log)
            await hook_ended(verdict, self.queue.driver, log)
        return attempt_of(verdict)


class Popped:
    """A job that was taken from its queue and is claimed by the test."""

    def __init__(self, hand: Hand, claim: Claim) -> None:
        self.id = claim.id
        self.name = claim.name
        self.queue = claim.queue
        self.attempt = claim.attempts
        self._hand = hand
        self._claim = claim

    @property
    def job(self) -> Job:
        """The job, rebuilt from what is stored.

        Raises :class:`~asyncqueue.errors.UnknownJob`, ``PayloadError`` and ``SignatureInvalid``
        where that cannot be.
        """
        queue = self._hand.queue
        payload = queue.seal.open(self.name, self.id, self._claim.payload)
        job: Job = codec.decode(self.name, codec.open_envelope(self.name, payload), queue.registry)
        return job

    async def run(self) -> Attempt:
        """Run it here and store how it ended; what it raises is in the attempt's ``error``."""
        async with self._hand:
            return await self._hand.run(self._claim)

    def __repr__(self) -> str:
        return f"<Popped {self.name} {self.id} from {self.queue}>"


async def pop(
    queue: Queue,
    name: str | None = None,
    *,
    services: Sequence[Any] | Mapping[str, Any] = (),
    middleware: Sequence[Callable[..., Any]] = (),
) -> Popped | None:
    """Take the next due job off a queue (the settings' default one); None if there is none.

    ``await popped.run()`` runs it. One that is never run comes back when its lease runs out.
    ``services`` and ``middleware`` are added to the queue's, as with a worker.
    """
    hand = Hand(queue, services=services, middleware=middleware)
    claim = await hand.claim([source_of(name or queue.settings.default)])
    return None if claim is None else Popped(hand, claim)
