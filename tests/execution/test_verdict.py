"""What is kept of an attempt: its error, and its place in the history of its job."""

from __future__ import annotations

import pytest

from asyncqueue.attempts import MAX_TRACEBACK as ATTEMPT_TRACEBACK
from asyncqueue.attempts import MOST_KEPT, unpacked
from asyncqueue.execution.outcome import Errored, Outcome, Released, Retry, Snooze
from asyncqueue.execution.settlement import Budget, decide
from asyncqueue.execution.verdict import MAX_ERROR, MAX_TRACEBACK, Verdict
from asyncqueue.record import Claim, Settlement

NOW = 1_000.0


class LongError(Exception):
    """Its traceback has no end."""

    def __str__(self) -> str:
        return "first " + "x" * MAX_TRACEBACK + " last"


def verdict(outcome: Outcome, attempts: int = 1, most: int = 1000) -> Verdict:
    claim = Claim("id", 7, "queue", "Kind", b"", 1, attempts, 0, None, NOW)
    settlement = decide(claim, outcome, Budget(most), now=NOW, retention=60)
    assert settlement is not None
    return Verdict(claim, outcome, settlement, None, duration=2.5)


def kept(outcome: Outcome, attempts: int = 1, most: int = 1000) -> Settlement:
    judged = verdict(outcome, attempts, most)
    judged.keep_attempt(NOW, "worker")
    return judged.settlement


def test_an_attempt_is_kept_from_its_start():
    (attempt,) = unpacked(kept(Errored(ValueError("no"), delay=4), attempts=3).attempt)
    assert (attempt.number, attempt.worker, attempt.error) == (3, "worker", "ValueError: no")
    assert (attempt.started_at, attempt.duration) == (NOW - 2.5, 2.5)


@pytest.mark.parametrize(
    ("outcome", "attempts", "most"),
    [
        (Errored(ValueError("no")), 3, 3),  # The last: the job itself tells of it.
        (Released(Snooze(5), 5, counts=False), 1, 9),  # Given back, as if it had never been.
        (Errored(ValueError("no")), MOST_KEPT + 1, 1000),
    ],
    ids=["the last", "a snooze", "one too many"],
)
def test_what_is_not_kept(outcome: Outcome, attempts: int, most: int):
    assert kept(outcome, attempts, most).attempt is None


@pytest.mark.parametrize("attempts", [1, MOST_KEPT])
def test_a_retry_that_was_asked_for_is_kept(attempts: int):
    assert kept(Released(Retry(5), 5, counts=True), attempts).attempt is not None


def test_of_a_long_error_the_beginning_is_kept_and_of_its_traceback_the_end():
    settlement = kept(Errored(LongError(), delay=4))
    assert settlement.error is not None
    assert settlement.error.startswith("LongError: first")
    assert len(settlement.error) == MAX_ERROR
    assert settlement.traceback is not None
    assert settlement.traceback.endswith("last\n")
    assert len(settlement.traceback) == MAX_TRACEBACK
    (attempt,) = unpacked(settlement.attempt)
    assert attempt.traceback is not None
    assert attempt.traceback.endswith("last\n")
    assert len(attempt.traceback) == ATTEMPT_TRACEBACK
