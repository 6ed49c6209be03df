"""How an attempt can end, and the exceptions by which a handler says so itself."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from asyncqueue.durations import Duration, to_finite_seconds


class Retry(Exception):  # noqa: N818 - a request, not an error
    """Raise it in ``handle`` to run again after ``delay`` seconds; the attempt counts.

    Without a delay the backoff decides; a negative one is 0. On the last attempt the job fails.
    Raises ``TypeError`` or ``ValueError`` for a delay that is no finite number of seconds, nor a
    timedelta.
    """

    def __init__(self, delay: Duration | None = None) -> None:
        self.delay = None if delay is None else max(to_finite_seconds(delay, "delay"), 0.0)
        super().__init__("the handler asked to run again")


class Snooze(Exception):  # noqa: N818
    """Raise it in ``handle`` to run again after ``delay`` seconds; the attempt is given back.

    So a job may do it without end. Its delay is as for :class:`Retry`.
    """

    def __init__(self, delay: Duration) -> None:
        self.delay = max(to_finite_seconds(delay, "delay"), 0.0)
        super().__init__("the handler asked to run later")


class Fail(Exception):  # noqa: N818
    """Raise it in ``handle`` to fail for good, now. ``reason`` is a text or an exception."""

    def __init__(self, reason: str | BaseException = "the handler failed the job") -> None:
        self.reason = reason
        super().__init__(str(reason))


class Outcome(msgspec.Struct, frozen=True):
    """Base of the ways an attempt can end."""


class Completed(Outcome, frozen=True):
    """The handler returned; ``result`` is what it gave, encoded."""

    result: bytes | None = None


WITHOUT_RESULT: Final = Completed()
"""How most attempts end."""


class Errored(Outcome, frozen=True):
    """The handler raised, or timed out (``error`` is a ``JobTimeout`` then).

    ``retryable`` is what ``should_retry`` says, ``delay`` what the backoff says.
    """

    error: BaseException
    retryable: bool = True
    delay: float = 0.0


class Released(Outcome, frozen=True):
    """The handler asked to run again in ``delay`` seconds."""

    error: BaseException
    delay: float
    counts: bool


class Cancelled(Outcome, frozen=True):
    """An operator cancelled the job."""


class Interrupted(Outcome, frozen=True):
    """The worker is stopping; ``error`` is the handler's own, if it raised one."""

    error: BaseException | None = None


class Refused(Outcome, frozen=True):
    """The job was not run: unknown kind, unreadable payload. ``error`` says which."""

    error: BaseException


class Exhausted(Outcome, frozen=True):
    """The job was not run: workers that died used up its attempts."""

    error: BaseException


class Ignored(Outcome, frozen=True):
    """The claim is no longer ours, was settled already, or its handler leaks: change nothing."""


NEVER_RAN: tuple[type[Any], ...] = (Refused, Exhausted)
