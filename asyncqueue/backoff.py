"""How long a job waits between two attempts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

import msgspec

from asyncqueue.durations import Duration, to_finite_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """A curve of delays. Plain data: it can be stored with a job.

    Call it with the number of the attempt that failed (1 for the first) for the seconds to
    wait before the next one.
    """

    curve: Literal["exponential", "linear", "fixed", "list"]
    step: float = 0.0
    cap: float = 300.0
    jitter: bool = False
    delays: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """A list that is empty has no last one to repeat."""
        if self.curve == "list" and not self.delays:
            raise ValueError("backoff: a list needs at least one delay")

    def __call__(self, attempt: int) -> float:
        """Seconds to wait after attempt ``attempt`` failed."""
        return self.delay(attempt)

    def delay(self, attempt: int) -> float:
        """Seconds to wait after attempt ``attempt`` failed."""
        turn = max(attempt, 1)
        if self.curve == "list":
            return self.delays[min(turn, len(self.delays)) - 1]
        seconds = min(self._uncapped(turn), self.cap)
        # Jitter only spreads retries of many jobs; it is no secret.
        return random.uniform(0, seconds) if self.jitter else seconds  # noqa: S311

    def _uncapped(self, turn: int) -> float:
        if self.curve == "fixed":
            return self.step
        if self.curve == "linear":
            return self.step * turn
        # 2.0 ** 1024 overflows; the cap is long reached by then.
        return self.step * 2.0 ** min(turn - 1, 1000)


def exponential(base: Duration = 1, cap: Duration = 300, *, jitter: bool = False) -> Backoff:
    """``base`` · 2^(n−1) seconds after attempt n, at most ``cap``: 1, 2, 4, … 300 by default.

    With ``jitter`` a random time from 0 to that. Raises ``TypeError`` or ``ValueError`` for what
    is no finite number of seconds or timedelta, or is negative.
    """
    return Backoff("exponential", _positive("base", base), _positive("cap", cap), jitter)


def linear(step: Duration, cap: Duration = 300) -> Backoff:
    """``step`` · n seconds after attempt n, at most ``cap``; raises as :func:`exponential`."""
    return Backoff("linear", _positive("step", step), _positive("cap", cap))


def fixed(delay: Duration) -> Backoff:
    """``delay`` seconds after every attempt; raises as :func:`exponential`."""
    seconds = _positive("delay", delay)
    return Backoff("fixed", seconds, seconds)


def from_list(delays: Sequence[Duration]) -> Backoff:
    """One delay after the other; the last one repeats. The list must not be empty."""
    return Backoff("list", delays=tuple(_positive("delay", delay) for delay in delays))


def _positive(name: str, value: Duration) -> float:
    seconds = to_finite_seconds(value, f"backoff: {name}")
    if seconds < 0:
        raise ValueError(f"backoff: {name} must not be negative, got {value!r}")
    return seconds
