"""What is said of an attempt, after the store shows how it ended: the log, events, the hook."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from asyncqueue.batch import batch_data, batch_facts, batch_id_of, new_batches
from asyncqueue.callbacks import callbacks
from asyncqueue.cancellation import raise_if_cancelled
from asyncqueue.clock import now_of
from asyncqueue.context import Context
from asyncqueue.events import (
    BatchCancelled,
    BatchCompleted,
    BatchCreated,
    BatchJobCompleted,
    BatchJobFailed,
    JobProcessing,
    JobQueued,
)
from asyncqueue.execution.outcome import (
    Completed,
    Errored,
    Interrupted,
    Refused,
    Released,
)
from asyncqueue.execution.plan import in_thread
from asyncqueue.execution.verdict import describe, job_facts
from asyncqueue.record import State
from asyncqueue.trace import use_trace

if TYPE_CHECKING:
    from asyncqueue.clock import Clock
    from asyncqueue.execution.run import Run
    from asyncqueue.execution.verdict import Verdict
    from asyncqueue.listeners import Listeners
    from asyncqueue.record import Counted, Record


class Reporter:
    """Tells the log and the listeners; names job, queue and attempt, never data."""

    def __init__(
        self,
        listeners: Listeners,
        clock: Clock,
        log: logging.Logger,
        max_attempts: int,
        *,
        in_process: bool,
    ) -> None:
        self.totals: Counter[State] = Counter()
        """How many attempts ended in which state."""
        self._listeners = listeners
        self._clock = clock
        self._log = log
        self._max_attempts = max_attempts
        self._in_process = in_process

    def processing(self, run: Run) -> None:
        """An attempt starts."""
        if self._listeners.wants(JobProcessing):
            self._listeners.send(JobProcessing(**job_facts(run.claim, run, now_of(self._clock))))

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is said of jobs that were completed."""
        return not self._listeners.listening and not self._log.isEnabledFor(logging.INFO)

    def settled(self, verdict: Verdict) -> None:
        """The store shows the outcome of an attempt."""
        self.totals[verdict.settlement.state] += 1
        self._log_outcome(verdict)
        if self._in_process and verdict.failed:
            self._remember_error(verdict)
        if not self._listeners.listening:
            return
        told = verdict.event()
        if told is not None and self._listeners.wants(told[0]):
            event_type, fields = told
            facts = job_facts(verdict.claim, verdict.run, now_of(self._clock))
            facts["attempt"] = verdict.attempt
            self._listeners.send(event_type(**facts, **fields))

    def _remember_error(self, verdict: Verdict) -> None:
        """Where all happens in one process, callbacks are given the very error."""
        claim, error = verdict.claim, verdict.error
        if error is None:
            return
        if claim.latch is not None:
            callbacks.remember_error(claim.latch, error)
        if verdict.settlement.follow_ups:
            callbacks.remember_error(claim.id, error)

    def followed(self, verdict: Verdict) -> None:
        """The store has what follows a job in its chain."""
        if self._listeners.wants(JobQueued):
            for record in verdict.settlement.follow_ups:
                # Neither those that their batch holds back, nor the one that stands for a hook.
                if record.id != verdict.hook_job and (verdict.hook_job or record.held is None):
                    self._listeners.send(self._queued(record, verdict.run))
        self.batches_created(verdict)

    def batches_created(self, verdict: Verdict) -> None:
        """The store has the batches that are next in a chain."""
        settlement = verdict.settlement
        if not settlement.latches or not self._listeners.wants(BatchCreated):
            return
        now = self._clock.time()
        for tally in new_batches(settlement.latches, settlement.follow_ups, now):
            facts = batch_facts(tally, now_of(self._clock))
            self._listeners.send(BatchCreated(**facts, queue=batch_data(tally).queue or None))

    def _queued(self, record: Record, before: Run | None) -> JobQueued:
        return JobQueued(
            at=now_of(self._clock),
            job_id=record.id,
            name=record.name,
            queue=record.queue,
            attempt=0,
            max_attempts=record.max_attempts or self._max_attempts,
            trace=before.trace if before is not None else None,
            delay=record.delay,
        )

    def counted(self, counted: Counted, state: State, error: BaseException | None) -> None:
        """A batch shows the state in which a job of it ended."""
        if not self._listeners or batch_id_of(counted.tally.id) is None:
            return
        facts = batch_facts(counted.tally, now_of(self._clock))
        if state is State.COMPLETED:
            self._listeners.send(BatchJobCompleted(**facts))
        elif state is State.FAILED and error is not None:
            self._listeners.send(BatchJobFailed(**facts, error=error))
        if counted.broke:
            self._listeners.send(BatchCancelled(**facts))
        if counted.opened:
            self._listeners.send_once(counted.tally.id, BatchCompleted(**facts))

    def lost(self, verdict: Verdict) -> None:
        """The store refused a settlement: the job belongs to another worker by now."""
        self._log.warning(
            "%s lost its lease; its outcome is ignored",
            _name(verdict),
            extra=_extra(verdict),
        )

    def _log_outcome(self, verdict: Verdict) -> None:
        outcome, log = verdict.outcome, self._log
        if isinstance(outcome, Completed):
            if log.isEnabledFor(logging.INFO):
                log.info(
                    "%s completed in %.0f ms",
                    _name(verdict),
                    verdict.duration * 1000,
                    extra=_extra(verdict),
                )
            return
        error = verdict.error
        if error is not None and isinstance(outcome, Interrupted):
            log.warning(
                "%s raised while the worker stops; it runs again: %s",
                _name(verdict),
                describe(error),
                exc_info=error,
                extra=_extra(verdict),
            )
        elif error is not None and (verdict.failed or not isinstance(outcome, Released)):
            self._log_error(verdict, error)
        elif log.isEnabledFor(logging.INFO):
            log.info("%s %s", _name(verdict), _told(verdict), extra=_extra(verdict))

    def _log_error(self, verdict: Verdict, error: BaseException) -> None:
        if verdict.settlement.state is not State.FAILED:
            self._log.warning(
                "%s failed, next attempt in %.3g s: %s",
                _name(verdict),
                verdict.settlement.delay,
                describe(error),
                extra=_extra(verdict),
            )
            return
        level = logging.WARNING if isinstance(verdict.outcome, Refused) else logging.ERROR
        self._log.log(
            level,
            "%s failed for good: %s",
            _name(verdict),
            describe(error),
            exc_info=error if isinstance(verdict.outcome, (Errored, Released)) else None,
            extra=_extra(verdict),
        )


async def call_failed_hook(run: Run, error: BaseException, log: logging.Logger) -> None:
    """Call the job's ``failed``, if it has one. What it raises is logged; the failure stands."""
    if not run.plan.has_failed_hook:
        return
    hook: Any = run.job.failed
    trace = run.trace
    try:
        with contextlib.nullcontext() if trace is None else use_trace(trace):
            if inspect.iscoroutinefunction(hook):
                await hook(Context(run), error)
            else:
                await in_thread(hook, Context(run), error)
    except (Exception, asyncio.CancelledError, SystemExit) as raised:
        raise_if_cancelled(raised)
        log.exception("%s.failed raised", run.claim.name)


def _told(verdict: Verdict) -> str:
    """How an attempt ended in which nothing went wrong, and nothing was completed."""
    if isinstance(verdict.outcome, Released):
        asked = "asked to run again" if verdict.outcome.counts else "snoozes"
        return f"{asked} in {verdict.settlement.delay:.3g} s"
    if verdict.settlement.state is State.CANCELLED:
        return "was cancelled"
    return (
        "was not started; it waits again" if verdict.run is None else "was interrupted by the stop"
    )


def _name(verdict: Verdict) -> str:
    claim, run = verdict.claim, verdict.run
    total = f"/{run.max_attempts}" if run is not None else ""
    trace = f", trace {run.trace.trace_id}" if run is not None and run.trace else ""
    return f"{claim.name} {claim.id} on {claim.queue} (attempt {verdict.attempt}{total}{trace})"


def _extra(verdict: Verdict) -> dict[str, Any]:
    claim, run = verdict.claim, verdict.run
    extra = {
        "job_id": claim.id,
        "job_name": claim.name,
        "queue": claim.queue,
        "attempt": claim.attempts,
        "outcome": verdict.settlement.state,
    }
    if run is not None and run.trace is not None:
        extra["trace_id"] = run.trace.trace_id
    return extra
