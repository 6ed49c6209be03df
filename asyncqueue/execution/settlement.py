"""What an outcome means for the job. Pure: the table in the tests is the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncqueue.errors import JobTimeout
from asyncqueue.execution.outcome import (
    Cancelled,
    Completed,
    Errored,
    Exhausted,
    Interrupted,
    Outcome,
    Refused,
    Released,
)
from asyncqueue.record import Settlement, State

if TYPE_CHECKING:
    from asyncqueue.record import Claim


COMPLETED: Final = State.COMPLETED
"""Read as a global in a hot place: looking a member up in its enum class takes longer."""


class Budget(msgspec.Struct, frozen=True):
    """How often and how long a job may be tried."""

    max_attempts: int
    retry_until: float | None = None
    """Seconds after its dispatch; outranks the count."""
    max_exceptions: int | None = None
    fail_on_timeout: bool = False

    def exhausted(self, claim: Claim, now: float) -> bool:
        """Whether the attempts before this one, cut short by crashes, were all there are."""
        if self.retry_until is not None:
            return claim.attempts > 1 and now > claim.created_at + self.retry_until
        return claim.attempts > self.max_attempts

    def used(self, claim: Claim) -> int:
        """The attempts before this one, without claims by workers that died before they began."""
        before = claim.attempts - 1
        return before if self.retry_until is not None else min(before, self.max_attempts)

    def allows_another(self, claim: Claim, now: float, delay: float) -> bool:
        """Whether the job may run again ``delay`` seconds from now."""
        if self.retry_until is not None:
            return now + delay <= claim.created_at + self.retry_until
        return claim.attempts < self.max_attempts


def decide(  # noqa: PLR0911 - one line of the table each
    claim: Claim, outcome: Outcome, budget: Budget, *, now: float, retention: float
) -> Settlement | None:
    """The settlement of an outcome; None where the lease decides.

    ``now`` is the store's time and ``retention`` how long a finished record is kept, both in
    seconds. Errors are not described here: whoever settles adds their text.
    """
    if isinstance(outcome, Completed):
        return Settlement(
            claim.id,
            claim.token,
            COMPLETED,
            claim.attempts,
            claim.exceptions,
            result=outcome.result,
            retention=retention,
            latch=claim.latch,
        )
    if isinstance(outcome, Errored):
        return _after_error(claim, outcome, budget, now)
    if isinstance(outcome, Released):
        return _after_release(claim, outcome, budget, now)
    if isinstance(outcome, Interrupted):
        return _settle(claim, State.PENDING, attempts=claim.attempts - 1)
    if isinstance(outcome, Cancelled):
        return _settle(claim, State.CANCELLED, retention=retention)
    if isinstance(outcome, Refused):
        return _settle(claim, State.FAILED)
    if isinstance(outcome, Exhausted):
        return _settle(claim, State.FAILED, attempts=budget.used(claim))
    return None


def release_unrun(claim: Claim, delay: float | None = None) -> Settlement:
    """Hand a claim back that was not run, attempt given back: at the front, or after a delay."""
    if delay is None:
        return _settle(claim, State.PENDING, attempts=claim.attempts - 1)
    return _settle(claim, State.DELAYED, attempts=claim.attempts - 1, delay=delay)


def _after_error(claim: Claim, outcome: Errored, budget: Budget, now: float) -> Settlement:
    exceptions = claim.exceptions + 1
    final = (
        not outcome.retryable
        or (budget.fail_on_timeout and isinstance(outcome.error, JobTimeout))
        or (budget.max_exceptions is not None and exceptions >= budget.max_exceptions)
        or not budget.allows_another(claim, now, outcome.delay)
    )
    if final:
        return _settle(claim, State.FAILED, exceptions=exceptions)
    return _settle(claim, State.DELAYED, exceptions=exceptions, delay=outcome.delay)


def _after_release(claim: Claim, outcome: Released, budget: Budget, now: float) -> Settlement:
    bounded = outcome.counts or budget.retry_until is not None
    if bounded and not budget.allows_another(claim, now, outcome.delay):
        return _settle(claim, State.FAILED)
    if not outcome.counts:
        return release_unrun(claim, outcome.delay)
    return _settle(claim, State.DELAYED, delay=outcome.delay)


def _settle(claim: Claim, state: State, **changes: Any) -> Settlement:
    changes.setdefault("attempts", claim.attempts)
    changes.setdefault("exceptions", claim.exceptions)
    changes["latch"] = claim.latch
    return Settlement(claim.id, claim.token, state, **changes)
