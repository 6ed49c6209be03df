"""The table of :func:`decide`: what every outcome means for a job. This is its specification."""

from __future__ import annotations

import pytest

from asyncqueue.errors import AttemptsExhausted, JobTimeout, UnknownJob
from asyncqueue.execution.outcome import (
    Cancelled,
    Completed,
    Errored,
    Exhausted,
    Ignored,
    Interrupted,
    Refused,
    Released,
    Retry,
    Snooze,
)
from asyncqueue.execution.settlement import Budget, decide, release_unrun
from asyncqueue.record import Claim, State

ERROR = ValueError("broken")
TIMEOUT = JobTimeout("too long")
NOW = 1_000.0


def a_claim(attempts=1, exceptions=0, created_at=NOW):
    return Claim("id", 7, "queue", "Kind", b"", 1, attempts, exceptions, None, created_at)


def settled(outcome, budget=None, **claim):
    return decide(a_claim(**claim), outcome, budget or Budget(3), now=NOW, retention=60)


# outcome, attempts so far, budget -> state, attempts kept, exceptions kept, delay
TABLE = [
    (Completed(), 1, Budget(3), (State.COMPLETED, 1, 0, 0)),
    (Completed(), 3, Budget(3), (State.COMPLETED, 3, 0, 0)),
    (Errored(ERROR, delay=4), 1, Budget(3), (State.DELAYED, 1, 1, 4)),
    (Errored(ERROR, delay=4), 2, Budget(3), (State.DELAYED, 2, 1, 4)),
    (Errored(ERROR, delay=4), 3, Budget(3), (State.FAILED, 3, 1, 0)),
    (Errored(ERROR, delay=4), 1, Budget(1), (State.FAILED, 1, 1, 0)),
    (Errored(ERROR, retryable=False), 1, Budget(3), (State.FAILED, 1, 1, 0)),
    (Errored(TIMEOUT, delay=4), 1, Budget(3), (State.DELAYED, 1, 1, 4)),
    (Errored(TIMEOUT), 1, Budget(3, fail_on_timeout=True), (State.FAILED, 1, 1, 0)),
    (Errored(ERROR, delay=4), 1, Budget(3, fail_on_timeout=True), (State.DELAYED, 1, 1, 4)),
    (Errored(ERROR, delay=4), 9, Budget(25, max_exceptions=2), (State.DELAYED, 9, 1, 4)),
    (Errored(ERROR), 1, Budget(25, max_exceptions=1), (State.FAILED, 1, 1, 0)),
    (Released(Retry(), 5, counts=True), 1, Budget(3), (State.DELAYED, 1, 0, 5)),
    (Released(Retry(), 5, counts=True), 3, Budget(3), (State.FAILED, 3, 0, 0)),
    (Released(Snooze(5), 5, counts=False), 3, Budget(3), (State.DELAYED, 2, 0, 5)),
    (Released(Snooze(5), 5, counts=False), 1, Budget(1), (State.DELAYED, 0, 0, 5)),
    (Released(Snooze(5), 5, counts=False), 3, Budget(9, retry_until=5), (State.DELAYED, 2, 0, 5)),
    (Released(Snooze(6), 6, counts=False), 3, Budget(9, retry_until=5), (State.FAILED, 3, 0, 0)),
    (Released(Retry(), 6, counts=True), 1, Budget(9, retry_until=5), (State.FAILED, 1, 0, 0)),
    (Interrupted(), 1, Budget(1), (State.PENDING, 0, 0, 0)),
    (Interrupted(ERROR), 3, Budget(3), (State.PENDING, 2, 0, 0)),
    (Cancelled(), 1, Budget(3), (State.CANCELLED, 1, 0, 0)),
    (Refused(UnknownJob()), 1, Budget(3), (State.FAILED, 1, 0, 0)),
    (Exhausted(AttemptsExhausted()), 4, Budget(3), (State.FAILED, 3, 0, 0)),
    (Exhausted(AttemptsExhausted()), 5, Budget(3), (State.FAILED, 3, 0, 0)),
    (Exhausted(AttemptsExhausted()), 5, Budget(3, retry_until=1), (State.FAILED, 4, 0, 0)),
]


@pytest.mark.parametrize(("outcome", "attempts", "budget", "expected"), TABLE)
def test_what_an_outcome_means(outcome, attempts, budget, expected):
    settlement = settled(outcome, budget, attempts=attempts)
    assert (settlement.id, settlement.token) == ("id", 7)
    found = (settlement.state, settlement.attempts, settlement.exceptions, settlement.delay)
    assert found == expected


def test_an_ignored_outcome_is_left_to_the_lease():
    assert settled(Ignored()) is None


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [(Completed(b"result"), 60), (Cancelled(), 60), (Errored(ERROR, retryable=False), 0)],
)
def test_finished_records_are_kept_for_their_retention(outcome, kept):
    assert settled(outcome).retention == kept


def test_a_result_is_stored_with_the_completion():
    assert settled(Completed(b"result")).result == b"result"


@pytest.mark.case("RTY-32")
def test_exceptions_add_up_and_releases_do_not_count():
    budget = Budget(25, max_exceptions=3)
    assert settled(Errored(ERROR), budget, exceptions=1).state is State.DELAYED
    assert settled(Errored(ERROR), budget, exceptions=2).state is State.FAILED
    assert settled(Released(Retry(), 1, counts=True), budget, exceptions=2).exceptions == 2
    assert settled(Interrupted(), budget, exceptions=2).exceptions == 2


@pytest.mark.case("RTY-31")
@pytest.mark.parametrize(
    ("age", "delay", "state"),
    [
        (0, 5, State.DELAYED),
        (95, 5, State.DELAYED),
        (95, 6, State.FAILED),
        (200, 0, State.FAILED),
    ],
)
def test_retry_until_outranks_the_count(age, delay, state):
    """It decides in both directions."""
    budget = Budget(1, retry_until=100)
    for attempts in (1, 50):
        outcome = Errored(ERROR, delay=delay)
        assert settled(outcome, budget, attempts=attempts, created_at=NOW - age).state is state


@pytest.mark.parametrize(
    ("attempts", "budget", "age", "exhausted"),
    [
        (1, Budget(1), 0, False),
        (2, Budget(1), 0, True),
        (3, Budget(3), 0, False),
        (4, Budget(3), 0, True),
        (50, Budget(1, retry_until=100), 100, False),
        (2, Budget(1, retry_until=100), 101, True),
        (1, Budget(1, retry_until=100), 5_000, False),
    ],
)
def test_when_crashes_have_used_up_a_job(attempts, budget, age, exhausted):
    claim = a_claim(attempts, created_at=NOW - age)
    assert budget.exhausted(claim, NOW) is exhausted


@pytest.mark.parametrize(("delay", "state"), [(None, State.PENDING), (15.0, State.DELAYED)])
def test_a_claim_that_was_not_run_gives_its_attempt_back(delay, state):
    settlement = release_unrun(a_claim(2, exceptions=1), delay)
    assert (settlement.state, settlement.attempts, settlement.exceptions) == (state, 1, 1)
