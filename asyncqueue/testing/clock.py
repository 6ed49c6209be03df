"""A clock that stands still until a test moves it, so that no test has to sleep."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.clock import Timer

PATIENCE: Final = 2.0
"""Real seconds that :meth:`Clock.advance` waits for another thread's loop to settle down."""
LOOK_EVERY: Final = 0.005


@dataclass(order=True, slots=True)
class _Timer:
    """One entry of the heap."""

    due: float
    number: int
    loop: asyncio.AbstractEventLoop = field(compare=False)
    thread: int = field(compare=False)
    callback: Callable[[], object] = field(compare=False)
    taken: bool = field(default=False, compare=False)
    cancelled: bool = field(default=False, compare=False)

    def call(self) -> None:
        if not self.cancelled:
            self.callback()


class _Cancel:
    """The caller's end of a timer."""

    __slots__ = ("_clock", "_timer")

    def __init__(self, clock: Clock, timer: _Timer) -> None:
        self._clock = clock
        self._timer = timer

    def cancel(self) -> None:
        """Do not call it; harmless when it ran already."""
        self._clock._forget(self._timer)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class Clock:
    """Time that moves by hand: give it to ``Queue(..., clock=clock)`` or to a driver.

    It starts at ``start`` (an aware datetime; default: 2030-01-01 00:00 UTC) and may be used from
    several threads and event loops.
    """

    def __init__(self, start: datetime | None = None) -> None:
        start = datetime(2030, 1, 1, tzinfo=UTC) if start is None else start
        if start.tzinfo is None:
            raise ValueError(f"The start {start!r} is naive; give it a time zone, UTC for example.")
        self._time = start.timestamp()
        self._lock = threading.Lock()
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()
        self._pending = 0
        self._awaited: dict[asyncio.AbstractEventLoop, threading.Event] = {}

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.fromtimestamp(self._time, UTC)

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._time

    def monotonic(self) -> float:
        """The same: this clock is only ever moved forward."""
        return self._time

    @property
    def pending(self) -> int:
        """How many timers and sleeps are still to come."""
        return self._pending

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` on the running event loop after ``delay`` seconds.

        A delay of 0 or less needs no :meth:`advance`: it is called as soon as the loop runs.
        """
        loop = asyncio.get_running_loop()
        if delay <= 0:
            return loop.call_soon(callback)
        with self._lock:
            due = self._time + delay
            timer = _Timer(due, next(self._numbers), loop, threading.get_ident(), callback)
            heapq.heappush(self._timers, timer)
            self._pending += 1
            if (waiting := self._awaited.get(loop)) is not None:
                waiting.set()
        return _Cancel(self, timer)

    async def sleep(self, delay: float) -> None:
        """Return after ``delay`` seconds."""
        if delay <= 0:
            await asyncio.sleep(0)
            return
        over = asyncio.get_running_loop().create_future()
        timer = self.call_later(delay, lambda: over.done() or over.set_result(None))
        try:
            await over
        finally:
            timer.cancel()

    def advance(self, seconds: float | timedelta) -> None:
        """Move on by ``seconds`` (a number or a timedelta; negative: ``ValueError``).

        Timers are called in the order in which they are due, and each reads its own time.
        Those of the calling thread are called right here; what they wake runs when the caller
        next awaits. Those of another thread's loop are handed over, and time stands still until
        that loop has done what was due and sleeps again (or for two real seconds).
        """
        target = self._after(seconds)
        while (timer := self._take(target)) is not None:
            self._fire(timer)
        with self._lock:
            self._time = max(self._time, target)

    def _after(self, seconds: float | timedelta) -> float:
        if not isinstance(seconds, (int, float, timedelta)):
            raise TypeError(f"A clock is advanced by seconds or a timedelta, got {seconds!r}")
        step = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if not (math.isfinite(step) and step >= 0):
            raise ValueError(f"A clock cannot be advanced by {seconds!r}; give 0 or more seconds.")
        now = self._time
        target = now + step
        # Rounded up, so that what was due in 0.3 s is due after three steps of 0.1 s.
        return math.nextafter(target, math.inf) if target - now < step else target

    def _take(self, target: float) -> _Timer | None:
        with self._lock:
            while self._timers and self._timers[0].cancelled:
                heapq.heappop(self._timers)
            if not self._timers or self._timers[0].due > target:
                return None
            timer = heapq.heappop(self._timers)
            timer.taken = True
            self._pending -= 1
            self._time = max(self._time, timer.due)
            return timer

    def _forget(self, timer: _Timer) -> None:
        with self._lock:
            if timer.cancelled or timer.taken:
                timer.cancelled = True
                return
            timer.cancelled = True
            self._pending -= 1
            if not self._pending:
                self._timers.clear()

    def _fire(self, timer: _Timer) -> None:
        if timer.loop.is_closed():
            return
        if timer.thread == threading.get_ident():
            timer.call()
        else:
            self._hand_over(timer.loop, timer.call)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Let another thread's loop call it, and wait until that loop sleeps on this clock."""
        asleep = threading.Event()
        with self._lock:
            self._awaited[loop] = asleep
        called = threading.Event()

        def call() -> None:
            try:
                callback()
            finally:
                called.set()

        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:
            asleep.set()  # That loop was closed in the meantime: nobody is left to be called.
        deadline = time.monotonic() + PATIENCE
        while not asleep.wait(LOOK_EVERY) and time.monotonic() < deadline:
            if not loop.is_running() or (called.is_set() and not asyncio.all_tasks(loop)):
                break
        with self._lock:
            self._awaited.pop(loop, None)
