"""Makes runs of claims and verdicts of their outcomes; what a handler asks of its worker."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec

from asyncqueue import codec
from asyncqueue.cancellation import raise_if_cancelled
from asyncqueue.errors import AttemptsExhausted, LeaseLost, UnknownJob
from asyncqueue.execution.deadlines import Deadlines
from asyncqueue.execution.following import follow
from asyncqueue.execution.kinds import Kinds
from asyncqueue.execution.outcome import Cancelled, Exhausted, Interrupted, Outcome, Refused
from asyncqueue.execution.report import Reporter
from asyncqueue.execution.run import Run
from asyncqueue.execution.settlement import Budget, decide, release_unrun
from asyncqueue.execution.transacting import completing
from asyncqueue.execution.verdict import Verdict
from asyncqueue.record import Extension, Hold, State
from asyncqueue.trace import current_trace

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.batch import BatchInfo
    from asyncqueue.clock import Clock
    from asyncqueue.codec import Envelope
    from asyncqueue.drivers.base import Driver
    from asyncqueue.execution.plan import Defaults
    from asyncqueue.links import Rest
    from asyncqueue.listeners import Listeners
    from asyncqueue.record import Claim, Settlement
    from asyncqueue.registry import Registry
    from asyncqueue.sealing import Seal
    from asyncqueue.services import Services

LONGEST_HOOK: Final = 30.0
"""Seconds for a ``failed`` hook where neither its job nor the worker has a timeout."""
UNKNOWN_DELAY: Final = 15.0
"""Seconds until a released job of an unknown kind is looked at again."""
_NO_BUDGET: Final = Budget(max_attempts=0)


class Producing(Protocol):
    """The queue, as its handlers use it."""

    async def dispatch(self, job: Any, **options: Any) -> Any:
        """Dispatch a job."""
        ...

    async def own_batch(self, id: str) -> BatchInfo | None:
        """The batch of a member or a callback with fresh counters."""
        ...

    async def join_batch(self, id: str, jobs: Sequence[Any]) -> None:
        """Dispatch more members of a batch."""
        ...

    def linked(self, rest: Rest, jobs: Sequence[Any], *, first: bool) -> Rest:
        """What is to come of a chain, with jobs and batches more at one of its ends."""
        ...


class Runner:
    """Runs jobs for one worker, or for the callers of a sync queue."""

    def __init__(  # noqa: PLR0913 - the one place where all collaborators of a run meet
        self,
        driver: Driver,
        registry: Registry,
        seal: Seal,
        defaults: Defaults,
        *,
        services: Services,
        middleware: Sequence[Any],
        listeners: Listeners,
        producer: Producing,
        lease: float,
        drain: float | None,
        log: logging.Logger,
        handler: Callable[[Any], Any] | None = None,
        unknown_jobs: Literal["fail", "release"] = "fail",
        stopping: Callable[[], bool] = lambda: False,
        worker: str | None = None,
        hooks_apart: bool = True,
    ) -> None:
        self.clock: Clock = driver.clock
        self.trace = current_trace()
        """For jobs that bring none: the one that was current where the worker was started."""
        self.services = services
        self.producer = producer
        self.stopping = stopping
        self.drain = drain
        self.longest_hook = defaults.timeout if defaults.timeout < math.inf else LONGEST_HOOK
        self.log = log
        self.report = Reporter(
            listeners, driver.clock, log, defaults.max_attempts, in_process=driver.in_process
        )
        self.deadlines = Deadlines(driver.clock)
        self._listeners = listeners
        self._driver = driver
        self._seal = seal
        self._defaults = defaults
        self._kinds = Kinds(registry, defaults, services, middleware, handler)
        self._worker = worker
        self._lease = lease
        self._unknown_jobs = unknown_jobs
        self._hooks_apart = hooks_apart
        self._store_zero: float | None = None
        """What the store's clock said when the monotonic one of this machine was at zero."""

    # The store's time, by which jobs were created: clocks of workers may be wrong

    def hear_time(self, now: float | None) -> None:
        """The store told its time just now; None where it does not tell."""
        if now is not None:
            self._store_zero = now - self.clock.monotonic()

    def store_time(self) -> float:
        """What the clock of the store says; where it never told, that of this machine."""
        if self._store_zero is None:
            return self.clock.time()
        return self._store_zero + self.clock.monotonic()

    # From a claim to a verdict

    def prepare(self, claim: Claim) -> Run | Verdict:
        """The run of a claim, or the verdict on one that cannot or must not be run."""
        if claim.called_off:
            return self.call_off(claim)
        envelope: Envelope | None = None
        try:
            payload = self._seal.open(claim.name, claim.id, claim.payload)
            envelope = codec.open_envelope(claim.name, payload)
            job, plan = self._kinds.rebuild(claim.name, envelope)
        except UnknownJob as error:
            return self._refuse(claim, error, envelope, release=self._unknown_jobs == "release")
        except (Exception, asyncio.CancelledError, SystemExit) as error:  # noqa: BLE001
            # A factory may raise anything.
            return self._refuse(claim, error, envelope, release=False)
        run = Run(self, claim, job, plan, envelope)
        if claim.attempts > 1 and run.budget.exhausted(claim, self.store_time()):
            return self._exhausted(run)
        return run

    def begin(self, run: Run) -> None:
        """Watch its timeout and say that it starts: the last thing before it is executed."""
        if run.timeout < math.inf:
            self.deadlines.add(run, run.timeout)
        if self._listeners.listening:
            self.report.processing(run)

    async def perform(self, run: Run) -> Outcome:
        """Run it under its timeout to its end."""
        self.begin(run)
        outcome = await run.execute()
        self.deadlines.remove(run)
        return outcome

    def judge(self, run: Run, outcome: Outcome) -> Verdict | None:
        """The verdict on an outcome; None where the lease decides."""
        now = self.clock.time()
        duration = self.clock.monotonic() - run.started
        retention = max(run.plan.retention, run.remembered)
        by_store = now if run.budget.retry_until is None else self.store_time()
        settlement = decide(run.claim, outcome, run.budget, now=by_store, retention=retention)
        if settlement is None:
            return None
        if settlement.result is not None:
            claim = run.claim
            settlement.result = self._seal.close_result(claim.name, claim.id, settlement.result)
        verdict = Verdict(run.claim, outcome, settlement, run, duration)
        if settlement.error is not None:
            verdict.keep_attempt(now, self._worker)
        return verdict if run.rest is None else self.follow(verdict, run.rest)

    def follow(self, verdict: Verdict, rest: Rest | None) -> Verdict:
        """Add what is to follow: the next of its chain, or whoever is called for a failure."""
        return follow(verdict, rest, self._seal, hooks_apart=self._hooks_apart)

    @staticmethod
    def hand_back(claim: Claim) -> Verdict:
        """The verdict on a claim that was never started because the worker stops."""
        return Verdict(claim, Interrupted(), release_unrun(claim), None)

    def call_off(self, claim: Claim) -> Verdict:
        """The verdict on a claim that is not started: it was cancelled, or its batch was."""
        settlement = release_unrun(claim)
        settlement.state = State.CANCELLED
        settlement.retention = self._defaults.retention
        return Verdict(claim, Cancelled(), settlement, None)

    async def is_called_off(self, claim: Claim) -> bool:
        """Whether the batch of a claim that has waited here was called off meanwhile."""
        try:
            tallies = await self._driver.latches([claim.latch or ""])
        except (Exception, asyncio.CancelledError) as error:
            raise_if_cancelled(error)
            self.log.exception("%s %s runs without a look at its batch", claim.name, claim.id)
            return False
        return any(tally.called_off for tally in tallies)

    # What a handler asks for

    @property
    def permits(self) -> Driver:
        """The permits of the store."""
        return self._driver

    async def extend(self, run: Run, percent: float | None = None, text: str | None = None) -> None:
        """Renew the lease of a run and store its progress.

        Not inside its transaction, which holds the claim: nobody would see a progress there before
        the job is complete, and the store's lock may be the transaction's.
        """
        if run.transacting:
            return
        claim = run.claim
        extension = Extension(claim.id, claim.token, percent, text)
        (hold,) = await self._driver.extend([extension], self._lease)
        if hold is Hold.LOST:
            raise LeaseLost(f"{claim.name} {claim.id} belongs to another worker by now")

    def transaction(self, run: Run) -> AbstractAsyncContextManager[Any]:
        """A transaction of the store that ends with the completion of this run."""
        return completing(self, self._driver, run)

    # Inside

    def _refuse(
        self, claim: Claim, error: BaseException, envelope: Envelope | None, *, release: bool
    ) -> Verdict:
        outcome = Refused(error)
        if release:
            return Verdict(claim, outcome, release_unrun(claim, UNKNOWN_DELAY), None)
        verdict = Verdict(claim, outcome, self._settlement(claim, outcome, _NO_BUDGET), None)
        return self.follow(verdict, None if envelope is None else envelope.rest)

    def _exhausted(self, run: Run) -> Verdict:
        claim, budget = run.claim, run.budget
        outcome = Exhausted(
            AttemptsExhausted(
                f"{claim.name} {claim.id}: workers that died used up its {budget.used(claim)} "
                "attempts; it was not run again. Look for a handler that kills its process, then "
                "retry it from the failed store."
            )
        )
        verdict = Verdict(claim, outcome, self._settlement(claim, outcome, budget), run)
        # Its hook is told of the attempts that there were, as are listeners.
        run.claim = msgspec.structs.replace(claim, attempts=verdict.attempt)
        return self.follow(verdict, run.rest)

    def _settlement(self, claim: Claim, outcome: Outcome, budget: Budget) -> Settlement:
        settlement = decide(claim, outcome, budget, now=self.clock.time(), retention=0.0)
        assert settlement is not None  # noqa: S101 - only an ignored outcome has none
        return settlement
