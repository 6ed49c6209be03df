"""Where the time comes from: the system, or a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import monotonic as _monotonic
from time import time as _time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST: Final = datetime.min.replace(tzinfo=UTC)
LAST: Final = datetime.max.replace(tzinfo=UTC)


class Timer(Protocol):
    """A callback that is due later and can be called off."""

    def cancel(self) -> None:
        """Do not call it; harmless when it ran already."""
        ...


class Clock(Protocol):
    """What asyncqueue asks of a clock. Every delay, lease and timeout goes through one."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never set back or forward, as ``time`` may be."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` on the running event loop after ``delay`` seconds."""
        ...

    async def sleep(self, delay: float) -> None:
        """Return after ``delay`` seconds."""
        ...


class SystemClock:
    """The machine's own time."""

    # Every job asks for these several times: no function of Python stands around them.
    time = staticmethod(_time)
    monotonic = staticmethod(_monotonic)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` on the running event loop after ``delay`` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        """Return after ``delay`` seconds."""
        await asyncio.sleep(delay)


SYSTEM_CLOCK = SystemClock()


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as an aware datetime; the first or last one for those beyond.

    A job may be due at any time, and a listing must not fail for one that never is.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return LAST if seconds > 0 else FIRST


def now_of(clock: Clock) -> datetime:
    """The time of a clock as an aware datetime."""
    return moment(clock.time())
