"""One attempt of one job while it runs: how it is interrupted, and what came of it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from asyncqueue import codec
from asyncqueue.errors import JobTimeout, PayloadError
from asyncqueue.execution.outcome import (
    Cancelled,
    Completed,
    Errored,
    Fail,
    Ignored,
    Interrupted,
    Outcome,
    Released,
    Retry,
    Snooze,
)
from asyncqueue.trace import enter_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.backoff import Backoff
    from asyncqueue.clock import Clock, Timer
    from asyncqueue.context import Cause, Context
    from asyncqueue.execution.plan import Plan
    from asyncqueue.execution.settlement import Budget
    from asyncqueue.record import Claim

log = logging.getLogger("asyncqueue.worker")


class Run:
    """One attempt. :meth:`execute` never raises: it answers with an outcome."""

    __slots__ = (
        "_drain_timer",
        "_scope",
        "abandoned",
        "backoff",
        "budget",
        "claim",
        "clock",
        "ctx",
        "deadline",
        "drain",
        "finished",
        "job",
        "lost",
        "on_abandoned",
        "plan",
        "settled",
        "started",
        "stopping",
        "task",
        "timeout",
    )

    def __init__(  # noqa: PLR0913 - made in one place, from what that place has just worked out
        self,
        claim: Claim,
        job: Any,
        plan: Plan,
        ctx: Context,
        *,
        budget: Budget,
        backoff: Backoff | Any,
        timeout: float,
        deadline: float,
        started: float,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self.claim = claim
        self.job = job
        self.plan = plan
        self.ctx = ctx
        self.budget = budget
        self.backoff = backoff
        self.timeout = timeout
        self.deadline = deadline
        self.started = started
        self.clock = clock
        self.stopping = stopping
        self.task: asyncio.Task[Any] | None = None
        self.on_abandoned: Callable[[Run], None] | None = None
        self.drain: float | None = None
        self.finished = False
        self.abandoned = False
        self.lost = False
        self.settled = False
        self._scope: asyncio.Timeout | None = None
        self._drain_timer: Timer | None = None

    async def execute(self) -> Outcome:
        """Run middleware and handler to their end and say how they ended."""
        if self.ctx.trace is not None:
            enter_trace(self.ctx.trace)
        value: Any = None
        error: BaseException | None = None
        # One scope is the only way by which this run is ever cancelled; who closes it says why
        # in ``ctx.cause`` first. So the handler's own cancellations cannot be mistaken for ours.
        async with asyncio.timeout(None) as self._scope:
            try:
                if self.ctx.cause is None:
                    value = await self.plan.call(self.job, self.ctx)
                else:
                    error = asyncio.CancelledError()
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as raised:  # noqa: BLE001 - whatever it is, it is the outcome
                error = raised
        self.finished = True
        self._scope = None
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        return self._classify(value, error)

    # Interruption

    def interrupt(self, cause: Cause, drain: float | None) -> None:
        """Cancel the handler for this cause; after ``drain`` seconds give it up as leaking.

        The first cause counts. A plain handler cannot be cancelled and runs on at a shutdown;
        for any other cause only its thread does.
        """
        if self.finished or self.abandoned:
            return
        if cause == "lease_lost":
            self.lost = True
        if not self.ctx.cancelled.set(cause):
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
        log.warning(
            "%s %s ignores its cancellation (%s) and leaks: its slot is free, the job comes back "
            "when its lease runs out%s",
            self.claim.name,
            self.claim.id,
            self.ctx.cause,
            _where(self.task),
        )
        if self.on_abandoned is not None:
            self.on_abandoned(self)

    def _cancel(self) -> None:
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    def time_out(self) -> None:
        """The deadline has passed."""
        self.interrupt("timeout", self.drain)

    def extend(self, seconds: float) -> None:
        """Put the deadline off."""
        self.deadline += seconds
        self.timeout += seconds
        self.ctx.move_deadline(self.deadline)

    # Outcome

    def _classify(self, value: Any, error: BaseException | None) -> Outcome:
        cause = self.ctx.cause
        if self.lost or self.abandoned:
            return Ignored()
        if self.settled:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                log.error("%s raised after its transaction completed it", self.claim.name, exc_info=error)
            return Ignored()
        if cause == "cancelled":
            return Cancelled()
        if cause == "timeout":
            return self._errored(self._timed_out(error))
        if error is None:
            return self._completed(value)
        return self._raised(error, stopping=cause == "shutdown" or self.stopping())

    def _completed(self, value: Any) -> Outcome:
        if value is None or not self.plan.retention:
            return Completed()
        try:
            return Completed(codec.encode_result(self.claim.name, value))
        except PayloadError as error:
            return Errored(error, retryable=False)

    def _raised(self, error: BaseException, *, stopping: bool) -> Outcome:
        if isinstance(error, Snooze):
            return Released(error, error.delay, counts=False)
        if isinstance(error, Retry):
            delay = self._delay(error) if error.delay is None else error.delay
            return Released(error, delay, counts=True)
        if isinstance(error, Fail):
            reason = error.reason
            return Errored(reason if isinstance(reason, BaseException) else error, retryable=False)
        if stopping:
            return Interrupted(None if isinstance(error, asyncio.CancelledError) else error)
        return self._errored(error)

    def _errored(self, error: BaseException) -> Errored:
        return Errored(error, self._retryable(error), self._delay(error))

    def _timed_out(self, error: BaseException | None) -> JobTimeout:
        timeout = JobTimeout(
            f"{self.claim.name} ran longer than its timeout of {self.timeout:g} s. "
            "Give the job a longer one (timeout=...), or do less in it."
        )
        timeout.__cause__ = error
        return timeout

    def _retryable(self, error: BaseException) -> bool:
        if not self.plan.has_should_retry:
            return True
        try:
            return bool(self.job.should_retry(error))
        except Exception:
            log.exception("%s.should_retry raised; the job is retried", self.claim.name)
            return True

    def _delay(self, error: BaseException) -> float:
        backoff = self.backoff
        if callable(getattr(backoff, "delay", None)):
            return float(backoff.delay(self.claim.attempts))
        try:
            return max(float(backoff(self.job, self.claim.attempts, error)), 0.0)
        except Exception:
            log.exception("The backoff of %s raised; the worker's is used", self.claim.name)
            return float(self.plan.default_backoff.delay(self.claim.attempts))


def _where(task: asyncio.Task[Any] | None) -> str:
    """``, last seen at FILE:LINE``, where the innermost frame of the coroutine can be told."""
    coroutine: Any = task.get_coro() if task is not None else None
    frame = None
    while coroutine is not None and inspect.iscoroutine(coroutine):
        frame = coroutine.cr_frame or frame
        coroutine = coroutine.cr_await
    return f", last seen at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
