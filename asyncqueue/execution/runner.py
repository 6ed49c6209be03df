"""Makes runs of claims and verdicts of their outcomes; what a handler asks of its worker."""

from __future__ import annotations

import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any, Final, Literal

from asyncqueue import codec
from asyncqueue.after_commit import collect_after_commit
from asyncqueue.context import Context
from asyncqueue.errors import AttemptsExhausted, LeaseLost, UnknownJob
from asyncqueue.execution.deadlines import Deadlines
from asyncqueue.execution.outcome import Completed, Exhausted, Interrupted, Outcome, Refused
from asyncqueue.execution.plan import Defaults, Plan
from asyncqueue.execution.report import Reporter
from asyncqueue.execution.run import Run
from asyncqueue.execution.settlement import Budget, decide, release_unrun
from asyncqueue.execution.verdict import Verdict
from asyncqueue.record import Extension, Hold
from asyncqueue.trace import current_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.base import Driver
    from asyncqueue.listeners import Listeners
    from asyncqueue.record import Claim, Settlement
    from asyncqueue.registry import Registry
    from asyncqueue.services import Services

UNKNOWN_DELAY: Final = 15.0
"""Seconds until a released job of an unknown kind is looked at again."""
_NO_BUDGET: Final = Budget(max_attempts=0)


class Runner:
    """Runs jobs for one worker, or for the callers of a sync queue."""

    def __init__(  # noqa: PLR0913 - the one place where all collaborators of a run meet
        self,
        driver: Driver,
        registry: Registry,
        defaults: Defaults,
        *,
        services: Services,
        middleware: Sequence[Any],
        listeners: Listeners,
        dispatch: Callable[..., Awaitable[Any]],
        lease: float,
        log: logging.Logger,
        handler: Callable[[Any], Any] | None = None,
        unknown_jobs: Literal["fail", "release"] = "fail",
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.clock: Clock = driver.clock
        self.services = services
        self.report = Reporter(listeners, log)
        self.deadlines = Deadlines(driver.clock)
        self.runs: dict[str, Run] = {}
        """What is running now, by job id."""
        self._driver = driver
        self._registry = registry
        self._defaults = defaults
        self._middleware = tuple(middleware)
        self._handler = handler
        self._dispatch = dispatch
        self._lease = lease
        self._unknown_jobs = unknown_jobs
        self._stopping = stopping
        self._plans: dict[Any, Plan] = {}

    # From a claim to a verdict

    def prepare(self, claim: Claim) -> Run | Verdict:
        """The run of a claim, or the verdict on one that cannot or must not be run."""
        try:
            envelope = codec.open_envelope(claim.name, claim.payload)
            job = codec.decode(claim.name, envelope, self._registry)
            plan = self._plan(type(job))
        except UnknownJob as error:
            return self._refuse(claim, error, release=self._unknown_jobs == "release")
        except Exception as error:  # noqa: BLE001 - a factory may raise anything
            return self._refuse(claim, error, release=False)
        now = self.clock.time()
        timeout = _timeout(envelope.timeout, plan.timeout)
        budget = plan.budget(claim.max_attempts)
        deadline = now + timeout
        run = Run(
            claim,
            job,
            plan,
            Context(
                claim,
                self,
                max_attempts=budget.max_attempts,
                deadline=deadline,
                trace=envelope.trace or current_trace(),
            ),
            budget=budget,
            backoff=envelope.backoff or plan.backoff,
            timeout=timeout,
            deadline=deadline,
            started=now,
            clock=self.clock,
            stopping=self._stopping,
        )
        if budget.exhausted(claim, now):
            return self._exhausted(run)
        return run

    async def perform(self, run: Run, drain: float | None) -> Outcome:
        """Run it under its timeout; after a timeout it has ``drain`` seconds to unwind."""
        run.drain = drain
        self.runs[run.claim.id] = run
        if run.deadline < math.inf:
            self.deadlines.add(run)
        self.report.processing(run)
        try:
            return await run.execute()
        finally:
            if run.deadline < math.inf:
                self.deadlines.remove(run)
            if self.runs.get(run.claim.id) is run:
                del self.runs[run.claim.id]

    def judge(self, run: Run, outcome: Outcome) -> Verdict | None:
        """The verdict on an outcome; None where the lease decides."""
        now = self.clock.time()
        settlement = decide(
            run.claim, outcome, run.budget, now=now, retention=run.plan.retention
        )
        if settlement is None:
            return None
        return Verdict(run.claim, outcome, settlement, run, now - run.started)

    @staticmethod
    def hand_back(claim: Claim) -> Verdict:
        """The verdict on a claim that was never started because the worker stops."""
        return Verdict(claim, Interrupted(), release_unrun(claim), None)

    # What a handler asks for

    async def progress(self, ctx: Context, percent: float, text: str) -> None:
        """Store the progress of the job."""
        await self._extend(ctx, percent, text)

    async def extend(self, ctx: Context, seconds: float) -> None:
        """Put the deadline of the job off and renew its lease."""
        await self._extend(ctx)
        run = self.runs.get(ctx.job_id)
        if run is not None and run.deadline < math.inf:
            run.extend(seconds)
            self.deadlines.moved(run)

    async def dispatch(self, job: Any, options: dict[str, Any]) -> Any:
        """Dispatch another job on the same queue object."""
        return await self._dispatch(job, **options)

    @contextlib.asynccontextmanager
    async def transaction(self, ctx: Context) -> AsyncIterator[Any]:
        """A transaction of the store that ends with the job's completion."""
        run = self.runs.get(ctx.job_id)
        if run is None or run.settled:
            raise LeaseLost(f"{ctx.job_name} {ctx.job_id} is not running any more")
        verdict = self.judge(run, Completed())
        assert verdict is not None  # noqa: S101 - a completion is always settled
        async with collect_after_commit():
            async with self._driver.transaction(verdict.settlement) as connection:
                yield connection
            run.settled = True
        verdict.duration = self.clock.time() - run.started
        self.report.settled(verdict)

    # Inside

    def _plan(self, cls: Any) -> Plan:
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = Plan(
                cls, self._defaults, self.services, self._middleware, self._handler
            )
        return plan

    async def _extend(
        self, ctx: Context, percent: float | None = None, text: str | None = None
    ) -> None:
        extension = Extension(ctx.job_id, ctx.token, percent, text)
        (hold,) = await self._driver.extend([extension], self._lease)
        if hold is Hold.LOST:
            raise LeaseLost(f"{ctx.job_name} {ctx.job_id} belongs to another worker by now")

    def _refuse(self, claim: Claim, error: BaseException, *, release: bool) -> Verdict:
        outcome = Refused(error)
        if release:
            return Verdict(claim, outcome, release_unrun(claim, UNKNOWN_DELAY), None)
        return Verdict(claim, outcome, self._settlement(claim, outcome), None)

    def _exhausted(self, run: Run) -> Verdict:
        claim = run.claim
        outcome = Exhausted(
            AttemptsExhausted(
                f"{claim.name} {claim.id}: workers that died used up its "
                f"{claim.attempts - 1} attempts; it was not run again. Look for a handler that "
                "kills its process, then retry it from the failed store."
            )
        )
        return Verdict(claim, outcome, self._settlement(claim, outcome), run)

    def _settlement(self, claim: Claim, outcome: Outcome) -> Settlement:
        settlement = decide(claim, outcome, _NO_BUDGET, now=self.clock.time(), retention=0.0)
        assert settlement is not None  # noqa: S101 - only an ignored outcome has none
        return settlement


def _timeout(stored: float | None, planned: float) -> float:
    """The timeout given at dispatch, where a negative one stands for none; else the planned."""
    if stored is None:
        return planned
    return math.inf if stored < 0 else stored
