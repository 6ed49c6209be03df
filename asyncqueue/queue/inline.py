"""Runs jobs during their dispatch, for the sync driver."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from asyncqueue.backoff import exponential
from asyncqueue.clock import now_of
from asyncqueue.drivers.sync import SyncDriver
from asyncqueue.errors import ConfigError, JobFailedError
from asyncqueue.events import JobQueued
from asyncqueue.execution.plan import Defaults
from asyncqueue.execution.report import call_failed_hook
from asyncqueue.execution.runner import Runner
from asyncqueue.execution.settlement import Budget
from asyncqueue.execution.verdict import Verdict, describe
from asyncqueue.services import Services
from asyncqueue.trace import current_trace, use_trace

if TYPE_CHECKING:
    from asyncqueue.queue.queue import Queue
    from asyncqueue.record import Claim, Settlement

log = logging.getLogger("asyncqueue.worker")


class InlineRunner:
    """Runs each job once, in the caller, with middleware, events and the ``failed`` hook."""

    def __init__(self, queue: Queue, driver: SyncDriver) -> None:
        settings = queue.settings
        self._driver = driver
        self._listeners = queue.listeners
        self._services = Services(queue.services)
        self._entered: asyncio.Lock | None = None
        self._ready = False
        self._runner = Runner(
            queue.driver,
            queue.registry,
            queue.seal,
            Defaults(
                timeout=settings.timeout,
                max_attempts=1,
                backoff=exponential(),
                retention=settings.retention,
            ),
            services=self._services,
            middleware=queue.middleware,
            listeners=queue.listeners,
            producer=queue,
            lease=settings.lease,
            drain=None,
            log=log,
            hooks_apart=False,
        )

    @classmethod
    def bind(cls, queue: Queue) -> InlineRunner | None:
        """Make a sync queue's driver run its jobs; None on every other driver."""
        if not isinstance(queue.driver, SyncDriver):
            return None
        if queue.driver.run is not None:
            raise ConfigError(
                "This SyncDriver belongs to another queue that is not closed, and would run this "
                "one's jobs with the other's registry; give each queue a SyncDriver of its own."
            )
        inline = cls(queue, queue.driver)
        queue.driver.run = inline.run
        queue.driver.on_counted = inline._runner.report.counted
        return inline

    async def run(self, claim: Claim) -> Settlement:
        """Run a claim; answers its settlement, or raises the error it ended with.

        A ``CancelledError`` of the handler's own making, which would look like a cancellation of
        the caller, arrives as the cause of a :class:`~asyncqueue.errors.JobFailedError`; so does
        a ``SystemExit``.
        """
        await self._enter_services()
        claim.max_attempts = 1
        made = self._runner.prepare(claim)
        if isinstance(made, Verdict):
            self._runner.report.settled(made)
            await self._follow(made)
            raise _for_caller(claim, made.error or RuntimeError("it was refused"))
        self._send_queued(claim)
        made.budget = Budget(max_attempts=1)
        made.task = caller = asyncio.current_task()
        assert caller is not None  # noqa: S101 - this is a coroutine
        cancelled_before = caller.cancelling()
        with use_trace(made.trace):  # Afterwards the caller has its own again.
            outcome = await self._runner.perform(made)
        error: BaseException | None = getattr(outcome, "error", None)
        if isinstance(error, asyncio.CancelledError) and caller.cancelling() > cancelled_before:
            raise error  # The caller was cancelled, and the job with it.
        verdict = self._runner.judge(made, outcome)
        assert verdict is not None  # noqa: S101 - nothing here loses a lease or leaks
        self._runner.report.settled(verdict)
        self._runner.report.batches_created(verdict)
        if verdict.failed and error is not None:
            await call_failed_hook(made, error, log)
        if error is not None:
            await self._follow(verdict)
            raise _for_caller(claim, error)
        return verdict.settlement

    async def close(self) -> None:
        """Leave the services."""
        self._runner.deadlines.close()
        self._driver.run = self._driver.on_counted = None
        if self._ready:
            self._ready = False
            await self._services.leave()

    def forked(self) -> None:
        """This is a child process: the services were entered by its parent, which leaves them."""
        self._entered = None
        self._ready = False

    async def _follow(self, verdict: Verdict) -> None:
        """Run the catch of a chain. What goes wrong in it is told by its own log and events."""
        settlement = verdict.settlement
        with contextlib.suppress(Exception):
            await self._driver.enqueue(settlement.follow_ups, latches=settlement.latches)

    def _send_queued(self, claim: Claim) -> None:
        """Before the job runs: afterwards is too late, and after an error never."""
        if self._listeners.wants(JobQueued):
            self._listeners.send(
                JobQueued(
                    at=now_of(self._driver.clock),
                    job_id=claim.id,
                    name=claim.name,
                    queue=claim.queue,
                    attempt=0,
                    max_attempts=1,
                    trace=current_trace(),
                    delay=0.0,
                )
            )

    async def _enter_services(self) -> None:
        if self._entered is None:
            self._entered = asyncio.Lock()
        async with self._entered:
            if not self._ready:
                await self._services.enter()
                self._ready = True


def _for_caller(claim: Claim, error: BaseException) -> Exception:
    """The error itself, unless it would do more to the caller than to say that the job failed."""
    if isinstance(error, Exception):
        return error
    failure = JobFailedError(f"{claim.name} {claim.id} failed: {describe(error)}")
    failure.__cause__ = error
    return failure
