"""What is to be stored for an attempt, and what is to be said once it is stored."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncqueue.attempts import MAX_TRACEBACK as ATTEMPT_TRACEBACK
from asyncqueue.attempts import MOST_KEPT, Attempt, packed
from asyncqueue.events import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobProcessed,
    JobReleased,
    JobRetrying,
)
from asyncqueue.execution.outcome import (
    Completed,
    Errored,
    Exhausted,
    Outcome,
    Refused,
    Released,
)
from asyncqueue.execution.run import Run
from asyncqueue.record import Claim, Settlement, State

if TYPE_CHECKING:
    from datetime import datetime


MAX_ERROR: Final = 2_000
MAX_TRACEBACK: Final = 32_000
"""Characters kept of an error's text and of its traceback."""


class Verdict(msgspec.Struct, eq=False):
    """The settlement of one attempt with all that is needed to report it afterwards.

    ``run`` is None where the job could not even be rebuilt.
    """

    claim: Claim
    outcome: Outcome
    settlement: Settlement
    run: Run | None
    duration: float = 0.0
    failed: bool = False
    """Whether the job failed for good after somebody tried to run it."""
    hook_job: str | None = None
    """The job that has to be cancelled once the ``failed`` hook has ended."""
    stored: asyncio.Event | None = None
    """Set once the settlement was stored, or will never be: for whoever waits for it."""

    def __post_init__(self) -> None:
        """Describe what went wrong, if something did."""
        outcome = self.outcome
        if not isinstance(outcome, Completed):
            self.failed = self.settlement.state is State.FAILED and not isinstance(outcome, Refused)
            self._describe_error()

    @property
    def error(self) -> BaseException | None:
        """What went wrong, if something did."""
        error: BaseException | None = getattr(self.outcome, "error", None)
        if self.failed and isinstance(self.outcome, Released) and error is not None:
            return error.__cause__ or error  # Why it asked for the retry that it did not get.
        return error

    def event(self) -> tuple[type[JobEvent], dict[str, Any]] | None:
        """The event of this outcome and its own fields; None where nothing is said."""
        state, outcome = self.settlement.state, self.outcome
        if state is State.COMPLETED:
            return JobProcessed, {"duration": self.duration}
        if state is State.CANCELLED:
            return JobCancelled, {}
        if self.failed:
            return JobFailed, {"error": self.error, "duration": self.duration}
        if isinstance(outcome, Errored):
            return JobRetrying, {"error": outcome.error, "delay": self.settlement.delay}
        if isinstance(outcome, Released):
            return JobReleased, {"delay": outcome.delay}
        return None

    @property
    def attempt(self) -> int:
        """Which attempt ended: the last one that was run, if this one must not be."""
        if isinstance(self.outcome, Exhausted):
            return self.settlement.attempts
        return self.claim.attempts

    def keep_attempt(self, now: float, worker: str | None) -> None:
        """Keep how an attempt ended that is not the last, of which the job itself tells."""
        settlement, claim = self.settlement, self.claim
        again = settlement.state is State.DELAYED and settlement.attempts == claim.attempts
        if not again or claim.attempts > MOST_KEPT:
            return
        whole = settlement.traceback
        settlement.attempt = packed(
            Attempt(
                number=claim.attempts,
                started_at=now - self.duration,
                duration=self.duration,
                worker=worker,
                error=settlement.error,
                traceback=None if whole is None else whole[-ATTEMPT_TRACEBACK:],
            )
        )

    def _describe_error(self) -> None:
        error, settlement = self.error, self.settlement
        if error is None or settlement.state is State.PENDING:
            return
        settlement.error = _storable(describe(error)[:MAX_ERROR])
        if self.failed or isinstance(self.outcome, (Errored, Refused)):
            text = "".join(traceback.format_exception(error))
            settlement.traceback = _storable(text[-MAX_TRACEBACK:])


def describe(error: BaseException) -> str:
    """``Type: text`` of an exception, in one line where its text is one."""
    name = type(error).__qualname__
    try:
        text = str(error)
    except (Exception, asyncio.CancelledError, SystemExit):  # noqa: BLE001 - it cannot even say what it is
        return name
    return f"{name}: {text}" if text else name


def _storable(text: str) -> str:
    """Without the halves of surrogate pairs, by which Python spells bytes that are no text."""
    return text.encode(errors="backslashreplace").decode()


def job_facts(claim: Claim, run: Run | None, at: datetime) -> dict[str, Any]:
    """The fields that all job events carry."""
    return {
        "at": at,
        "job_id": claim.id,
        "name": claim.name,
        "queue": claim.queue,
        "attempt": claim.attempts,
        "max_attempts": run.max_attempts if run is not None else claim.max_attempts or 0,
        "trace": run.trace if run is not None else None,
    }
