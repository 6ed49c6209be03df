"""What came of an attempt: how its handler ended, and why, make an outcome. It stores nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncqueue import codec
from asyncqueue.backoff import Backoff, exponential
from asyncqueue.durations import to_finite_seconds
from asyncqueue.errors import JobTimeout, PayloadError
from asyncqueue.execution.outcome import (
    WITHOUT_RESULT,
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

if TYPE_CHECKING:
    from asyncqueue.execution.run import Run


def classify(run: Run, value: Any, error: BaseException | None) -> Outcome:
    """What a run came to whose handler returned this value, or ended by this error."""
    cause = run.cancelled.cause
    if run.lost or run.abandoned:
        return Ignored()
    if run.settled:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            run.runner.log.error(
                "%s raised after its transaction completed it",
                run.claim.name,
                exc_info=error,
            )
        return Ignored()
    if cause == "cancelled":
        return Cancelled()
    if cause == "timeout":
        return _errored(run, _timed_out(run, error))
    if error is None:
        return _completed(run, value)
    return _raised(run, error, stopping=cause == "shutdown" or run.runner.stopping())


def _completed(run: Run, value: Any) -> Outcome:
    if value is None or not run.plan.retention:
        return WITHOUT_RESULT
    try:
        return Completed(codec.encode_result(run.claim.name, value))
    except PayloadError as error:
        return Errored(error, retryable=False)


def _raised(run: Run, error: BaseException, *, stopping: bool) -> Outcome:
    if isinstance(error, Snooze):
        return Released(error, error.delay, counts=False)
    if isinstance(error, Retry):
        delay = _delay(run, error) if error.delay is None else error.delay
        return Released(error, delay, counts=True)
    if isinstance(error, Fail):
        reason = error.reason
        return Errored(reason if isinstance(reason, BaseException) else error, retryable=False)
    if stopping:
        return Interrupted(None if isinstance(error, asyncio.CancelledError) else error)
    return _errored(run, error)


def _errored(run: Run, error: BaseException) -> Errored:
    return Errored(error, _retryable(run, error), _delay(run, error))


def _timed_out(run: Run, error: BaseException | None) -> JobTimeout:
    timeout = JobTimeout(
        f"{run.claim.name} ran longer than its timeout of {run.timeout:g} s. "
        "Give the job a longer one (timeout=...), or do less in it."
    )
    timeout.__cause__ = error
    return timeout


def _retryable(run: Run, error: BaseException) -> bool:
    if not run.plan.has_should_retry:
        return True
    try:
        return bool(run.job.should_retry(error))
    except (Exception, asyncio.CancelledError, SystemExit):
        run.runner.log.exception("%s.should_retry raised; the job is retried", run.claim.name)
        return True


def _delay(run: Run, error: BaseException) -> float:
    attempt = run.claim.attempts
    for backoff in (run.backoff, run.plan.default_backoff):
        if isinstance(backoff, Backoff):
            return backoff.delay(attempt)
        try:
            return max(to_finite_seconds(backoff(run.job, attempt, error), "backoff"), 0.0)
        except (Exception, asyncio.CancelledError, SystemExit):
            log, name = run.runner.log, run.claim.name
            log.exception("%s: its backoff raised; the worker's or the default is used", name)
    return exponential().delay(attempt)
