"""How one attempt of a job ended, and assertions on it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from asyncqueue import codec
from asyncqueue.execution.outcome import Completed, Released
from asyncqueue.execution.verdict import describe
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.execution.run import Run
    from asyncqueue.execution.verdict import Verdict
    from asyncqueue.record import Claim

Ending = Literal["completed", "failed", "retried", "released", "cancelled", "interrupted", "lost"]
"""``retried``: it raised and runs again. ``released``: it asked to run again (``Retry``,
``Snooze``). ``lost``: its claim was not held any more, or its handler leaks; nothing changed."""
_ANYTHING: Final[Any] = object()
_BY_STATE: Final[dict[State, Ending]] = {
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
    State.PENDING: "interrupted",
}
_DONE: Final[dict[Ending, str]] = {
    "completed": "completed",
    "failed": "failed",
    "retried": "been retried",
    "released": "been released",
    "cancelled": "been cancelled",
    "interrupted": "been interrupted",
    "lost": "lost its claim",
}


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one job that is over.

    ``result`` is what the handler returned as the store gives it back (None where it is not
    kept: ``retention=0``), ``error`` the exception that ended it, ``delay`` the seconds after
    which it runs again (retried and released only).
    """

    id: str
    name: str
    queue: str
    number: int
    ending: Ending
    result: Any = None
    error: BaseException | None = None
    delay: float | None = None

    def assert_completed(self, result: Any = _ANYTHING) -> None:
        """The handler returned; with ``result``, what it returned equals that."""
        __tracebackhide__ = True
        self._assert_ended("completed")
        if result is not _ANYTHING and self.result != result:
            raise AssertionError(
                f"{self._subject()} should have completed with {result!r}, got {self.result!r}."
            )

    def assert_failed(
        self, error: type[BaseException] | None = None, *, match: str | None = None
    ) -> None:
        """It failed for good; with an ``error`` of this type and a text that ``match`` finds.

        ``match`` is a regular expression, searched for as in ``pytest.raises``.
        """
        __tracebackhide__ = True
        self._assert_ended("failed")
        self._assert_error(error, match)

    def assert_retried(
        self, error: type[BaseException] | None = None, *, delay: float | None = None
    ) -> None:
        """It raised, such an ``error`` if given, and runs again, after ``delay`` seconds."""
        __tracebackhide__ = True
        self._assert_ended("retried")
        self._assert_error(error, None)
        self._assert_delay(delay)

    def assert_released(self, delay: float | None = None) -> None:
        """It asked to run again with ``Retry`` or ``Snooze``, after ``delay`` seconds."""
        __tracebackhide__ = True
        self._assert_ended("released")
        self._assert_delay(delay)

    def assert_cancelled(self) -> None:
        """An operator cancelled it."""
        __tracebackhide__ = True
        self._assert_ended("cancelled")

    def _assert_ended(self, ending: Ending) -> None:
        __tracebackhide__ = True
        if self.ending != ending:
            raise AssertionError(
                f"{self._subject()} should have {_DONE[ending]}, but it {self}."
            ) from self.error

    def _assert_error(self, error: type[BaseException] | None, match: str | None) -> None:
        __tracebackhide__ = True
        if error is not None and not isinstance(self.error, error):
            raise AssertionError(
                f"{self._subject()} should have raised {error.__qualname__}, but it {self}."
            ) from self.error
        if match is not None and not re.search(match, str(self.error)):
            raise AssertionError(
                f"{self._subject()} should have an error that matches {match!r}, but it {self}."
            ) from self.error

    def _assert_delay(self, delay: float | None) -> None:
        __tracebackhide__ = True
        if delay is not None and not math.isclose(delay, self.delay or 0.0, abs_tol=1e-6):
            raise AssertionError(
                f"{self._subject()} should run again in {delay:g} s, but it {self}."
            )

    def _subject(self) -> str:
        return f"{self.name} (attempt {self.number})"

    def __str__(self) -> str:
        text = _DONE[self.ending].replace("been ", "was ")
        if self.ending == "completed":
            return f"{text} with {self.result!r}"
        if self.delay is not None:
            text += f", to run again in {self.delay:g} s"
        return text if self.error is None else f"{text}: {describe(self.error)}"


def attempt_of(verdict: Verdict) -> Attempt:
    """The attempt that a stored verdict stands for."""
    claim, outcome, settlement = verdict.claim, verdict.outcome, verdict.settlement
    again = settlement.state is State.DELAYED
    result = None
    if isinstance(outcome, Completed) and verdict.run is not None:
        result = codec.decode_result(claim.name, outcome.result, type(verdict.run.job))
    return Attempt(
        id=claim.id,
        name=claim.name,
        queue=claim.queue,
        number=claim.attempts,
        ending=_ending(verdict),
        result=result,
        error=verdict.error,
        delay=settlement.delay if again else None,
    )


def attempt_without_verdict(claim: Claim, run: Run | None = None) -> Attempt:
    """An attempt whose outcome was not stored: its own transaction did that, or nobody may."""
    settled = run is not None and run.settled
    return Attempt(
        id=claim.id,
        name=claim.name,
        queue=claim.queue,
        number=claim.attempts,
        ending="completed" if settled else "lost",
    )


def _ending(verdict: Verdict) -> Ending:
    if verdict.settlement.state is State.DELAYED:
        return "released" if isinstance(verdict.outcome, Released) else "retried"
    return _BY_STATE[verdict.settlement.state]
