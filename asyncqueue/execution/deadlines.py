"""The timeouts of all running jobs on one clock.

Most jobs end long before their timeout, so an exact timer for each would be set only to be called
off. A coarse round looks at the running jobs now and then and sets the exact timer for those
whose deadline comes before the next round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.clock import Clock, Timer

ROUND: Final = 0.1
"""Seconds between two rounds."""


class Timed(Protocol):
    """Something with a deadline, in seconds of the monotonic clock; infinity for none."""

    deadline: float

    def time_out(self) -> None:
        """The deadline has passed."""
        ...


class Deadlines:
    """Calls ``time_out`` on what is added, once its deadline passes, until it is removed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: set[Timed] = set()
        self._exact: dict[Timed, Timer] = {}
        self._round: Timer | None = None

    def add(self, timed: Timed, remaining: float) -> None:
        """Watch it from now on; its deadline is ``remaining`` seconds ahead."""
        self._watched.add(timed)
        if self._round is None:
            self._round = self._clock.call_later(ROUND, self._look)
        if remaining < 2 * ROUND:
            self._arm(timed)

    def remove(self, timed: Timed) -> None:
        """Watch it no longer."""
        self._watched.discard(timed)
        if self._exact:
            timer = self._exact.pop(timed, None)
            if timer is not None:
                timer.cancel()

    def moved(self, timed: Timed) -> None:
        """Its deadline changed."""
        if timed in self._watched:
            self.remove(timed)
            self.add(timed, timed.deadline - self._clock.monotonic())

    def close(self) -> None:
        """Watch nothing."""
        for timed in tuple(self._watched):
            self.remove(timed)
        if self._round is not None:
            self._round.cancel()
            self._round = None

    def _look(self) -> None:
        self._round = None
        if not self._watched:
            return
        self._round = self._clock.call_later(ROUND, self._look)
        soon = self._clock.monotonic() + 2 * ROUND
        for timed in self._watched:
            if timed.deadline < soon and timed not in self._exact:
                self._arm(timed)

    def _arm(self, timed: Timed) -> None:
        delay = max(timed.deadline - self._clock.monotonic(), 0.0)
        self._exact[timed] = self._clock.call_later(delay, self._alarm(timed))

    def _alarm(self, timed: Timed) -> Callable[[], None]:
        def ring() -> None:
            if self._exact.pop(timed, None) is not None:
                self._watched.discard(timed)
                timed.time_out()

        return ring
