"""The clock of a lab's store: it goes with the loop, and can be set."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.clock import Timer
    from asyncqueue.testing.lab.loop import VirtualLoop

START: Final = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


class LabClock:
    """Reads the time of a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._start = START

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._start + self._loop.time()

    def monotonic(self) -> float:
        """Seconds since the loop was made."""
        return self._loop.time()

    def jump(self, seconds: float) -> None:
        """Set what :meth:`time` tells forward or back."""
        self._start += seconds

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` on the loop after ``delay`` seconds."""
        return self._loop.call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        """Return after ``delay`` seconds."""
        await asyncio.sleep(delay)
