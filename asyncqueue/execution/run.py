"""One attempt of one job while it runs: how it is interrupted, and what its handler asks for."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from asyncqueue.batch import batch_id_of
from asyncqueue.context import Context
from asyncqueue.errors import JobError, LeaseLost
from asyncqueue.execution.classifying import classify
from asyncqueue.execution.whereabouts import place_of
from asyncqueue.interruption import Cancellation
from asyncqueue.links import Cause as Failure
from asyncqueue.links import Rest
from asyncqueue.trace import enter_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.batch import BatchInfo
    from asyncqueue.clock import Clock, Timer
    from asyncqueue.codec import Envelope
    from asyncqueue.execution.outcome import Outcome
    from asyncqueue.execution.plan import Plan
    from asyncqueue.execution.runner import Runner
    from asyncqueue.host import Permits
    from asyncqueue.interruption import Cause
    from asyncqueue.record import Claim
    from asyncqueue.services import Services


class Run:
    """One attempt. :meth:`execute` never raises: it answers with an outcome."""

    # There is one for every job: slots take half of what a dict for each does.
    __slots__ = (
        "_cancel_sent",
        "_drain_timer",
        "abandoned",
        "backoff",
        "budget",
        "cancelled",
        "claim",
        "deadline",
        "entered",
        "failure",
        "finished",
        "job",
        "lost",
        "on_abandoned",
        "plan",
        "remembered",
        "rest",
        "runner",
        "settled",
        "started",
        "task",
        "timeout",
        "trace",
        "transacting",
        "waited",
    )

    def __init__(
        self, runner: Runner, claim: Claim, job: Any, plan: Plan, header: Envelope
    ) -> None:
        self.entered = self.finished = self.abandoned = self.lost = False
        self.settled = self.transacting = self._cancel_sent = False
        self.waited = False
        """Whether its batch may have been called off since it was claimed."""
        self.task: asyncio.Task[Any] | None = None
        self.on_abandoned: Callable[[Run], None] | None = None
        self._drain_timer: Timer | None = None
        self.runner = runner
        self.claim = claim
        self.job = job
        self.plan = plan
        self.budget = plan.budget(claim.max_attempts)
        self.backoff = header.backoff or plan.backoff
        self.remembered = header.remembered or 0.0
        self.timeout = plan.timeout if header.timeout is None else _unpacked(header.timeout)
        # The wall clock may be set at any moment; that must not time anything out.
        self.started = runner.clock.monotonic()
        self.deadline = self.started + self.timeout
        self.trace = header.trace or runner.trace
        self.rest: Rest | None = header.rest
        self.failure: Failure | None = header.cause
        self.cancelled = Cancellation()

    async def execute(self) -> Outcome:
        """Run middleware and handler to their end and say how they ended."""
        if self.trace is not None:
            enter_trace(self.trace)
        value: Any = None
        error: BaseException | None = None
        self.entered = True
        try:
            if self.cancelled.cause is None:
                value = await self.plan.call(self.job, Context(self))
            else:
                error = asyncio.CancelledError()
        except KeyboardInterrupt:
            raise
        except BaseException as raised:
            if isinstance(raised, GeneratorExit) and not self._is_current():
                raise  # Not the handler's: the coroutine is being closed.
            error = raised
        self.finished = True
        if self._cancel_sent and self.task is not None:
            self.task.uncancel()
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        return classify(self, value, error)

    def _is_current(self) -> bool:
        """Whether it is the event loop that runs this, in the run's own asyncio task."""
        try:
            return asyncio.current_task() is self.task
        except RuntimeError:
            return False

    # Interruption

    def interrupt(self, cause: Cause, drain: float | None) -> None:
        """Cancel the handler for this cause; after ``drain`` seconds give it up as leaking.

        The first cause counts. A plain handler cannot be cancelled and runs on at a shutdown;
        for any other cause only its thread does.
        """
        if self.finished or self.abandoned:
            return
        if cause == "lease_lost":
            if self.settled:
                return  # Its own transaction has ended the claim.
            self.lost = True
        if not self.cancelled.set(cause):
            return
        if not (self.plan.plain and cause == "shutdown"):
            self._cancel()
        if drain is not None:
            self._drain_timer = self.clock.call_later(drain, self.abandon)

    def abandon(self) -> None:
        """Stop waiting for a handler that ignores its cancellation; the lease decides."""
        if self.finished or self.abandoned:
            return
        self.abandoned = True
        place = "" if self.task is None else place_of(self.task)
        self.runner.log.warning(
            "%s %s ignores its cancellation (%s) and leaks: its slot is free, the job comes back "
            "when its lease runs out%s",
            self.claim.name,
            self.claim.id,
            self.cancelled.cause,
            f", last seen at {place}" if place else "",
        )
        if self.on_abandoned is not None:
            self.on_abandoned(self)

    def _cancel(self) -> None:
        # This is the only cancellation that ever reaches the run from us, and its cause is
        # set before it: the handler's own cancellations cannot be mistaken for it. It does what
        # ``asyncio.timeout`` does, for a seventh of the price, which every job would pay.
        if self.entered and self.task is not None:
            self._cancel_sent = True
            self.task.cancel()

    def time_out(self) -> None:
        """The deadline has passed."""
        self.interrupt("timeout", self.runner.drain)

    # What the handler asks for

    @property
    def max_attempts(self) -> int:
        """How many runs the job has in all."""
        return self.budget.max_attempts

    @property
    def clock(self) -> Clock:
        """The store's clock."""
        return self.runner.clock

    @property
    def services(self) -> Services:
        """The worker's services."""
        return self.runner.services

    @property
    def permits(self) -> Permits:
        """The permits of the store."""
        return self.runner.permits

    async def progress(self, percent: float, text: str) -> None:
        """Store the progress of the job."""
        await self.runner.extend(self, percent, text)

    async def more_time(self, seconds: float) -> None:
        """Put the deadline off and renew the lease."""
        await self.runner.extend(self)
        self.timeout += seconds
        self.deadline += seconds
        self.runner.deadlines.moved(self)

    async def dispatch(self, job: Any, options: dict[str, Any]) -> Any:
        """Dispatch another job on the same queue object."""
        return await self.runner.producer.dispatch(job, **options)

    @property
    def longest_hook(self) -> float:
        """Seconds that its ``failed`` hook may take."""
        return self.timeout if self.timeout < math.inf else self.runner.longest_hook

    @property
    def cause(self) -> Cause | None:
        """Why it is being interrupted."""
        cause, task = self.cancelled.cause, self.task
        if cause is None and task is not None and task.cancelling() and self.runner.stopping():
            return "shutdown"  # The loop is being closed, and cancels it before anybody else can.
        return cause

    @property
    def batch_id(self) -> str | None:
        """Its batch, or the one whose callback it is."""
        return batch_id_of(self.claim.latch)

    async def batch(self) -> BatchInfo | None:
        """Its batch, or the one whose callback it is."""
        batch_id = self.batch_id
        return None if batch_id is None else await self.runner.producer.own_batch(batch_id)

    async def add_to_batch(self, jobs: tuple[Any, ...]) -> None:
        """Dispatch more members of its batch."""
        batch_id = self.batch_id
        if batch_id is None:
            raise JobError(
                f"{self.claim.name} {self.claim.id} is in no batch: add_to_batch() adds to the "
                "batch of the job itself; dispatch a batch of these, or dispatch_many()."
            )
        await self.runner.producer.join_batch(batch_id, jobs)

    def link(self, jobs: tuple[Any, ...], *, first: bool) -> None:
        """Put jobs at the beginning or at the end of what comes after this one."""
        if self.finished or self.settled:
            raise LeaseLost(
                f"{self.claim.name} {self.claim.id} has completed: nothing can follow it any more"
            )
        self.rest = self.runner.producer.linked(self.rest or Rest(), jobs, first=first)

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A transaction of the store that ends with the job's completion."""
        return self.runner.transaction(self)


def _unpacked(timeout: float) -> float:
    """A timeout as it is stored: a negative one stands for none."""
    return math.inf if timeout < 0 else timeout
