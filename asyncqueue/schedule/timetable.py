"""Which entries are due: one timer for all of them, which is a plain callback.

A callback, not a coroutine that sleeps: each slot is noted at its own time and in order, even
where a test moves its clock by a year in one step.
"""

from __future__ import annotations

import contextlib
import logging
import math
from datetime import datetime
from typing import TYPE_CHECKING, Final

from asyncqueue.schedule.slots import Slot, catch_up

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from asyncqueue.clock import Clock, Timer
    from asyncqueue.schedule.entry import Entry

LOOK_EVERY: Final = 60.0
"""Seconds between two looks at the clock at most: it may have been set, or the machine asleep."""
SET_BACK: Final = 1.0
"""Seconds by which a clock must go back to have been set; less is the noise of keeping it."""

log = logging.getLogger("asyncqueue.schedule")


class Line:
    """An entry while its scheduler runs.

    ``slot`` is the one to wait for; ``latest`` the newest that is or was being dispatched;
    ``busy`` how many are being dispatched at this moment.
    """

    def __init__(self, entry: Entry, slot: Slot | None) -> None:
        self.entry = entry
        self.slot = slot
        self.latest: Slot | None = None
        self.busy = 0

    @contextlib.contextmanager
    def occupied(self) -> Generator[None]:
        """One of its slots is being dispatched in the block."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1


class Timetable:
    """Calls ``due`` for each slot when it comes, and ``broken`` if it cannot go on."""

    def __init__(
        self,
        clock: Clock,
        due: Callable[[Line, Slot], None],
        broken: Callable[[Exception], None],
    ) -> None:
        self.lines: dict[str, Line] = {}
        self._clock = clock
        self._due = due
        self._broken = broken
        self._timer: Timer | None = None
        self._looked_at = clock.time()
        self._earliest = math.inf

    def start(self, entries: Iterable[Entry]) -> None:
        """Wait for the slots of these entries that come after now."""
        for entry in entries:
            self._enter(entry)
        self._arm()

    def add(self, entry: Entry) -> None:
        """An entry that comes later takes part from its next slot."""
        self._enter(entry)
        self._arm()

    def stop(self) -> None:
        """Call nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _enter(self, entry: Entry) -> None:
        self.lines[entry.name] = Line(entry, entry.timing.first(self._clock.time()))

    def _arm(self) -> None:
        coming = [line.slot.due for line in self.lines.values() if line.slot is not None]
        self._earliest = min(coming, default=math.inf)
        self.stop()
        self._wait(self._clock.time())

    def _wait(self, now: float) -> None:
        wait = max(min(self._earliest - now, LOOK_EVERY), 0.0)
        self._timer = self._clock.call_later(wait, self._look)

    def _look(self) -> None:
        now = self._clock.time()
        before, self._looked_at = self._looked_at, now
        if before - SET_BACK <= now < self._earliest:
            self._wait(now)
            return
        try:
            if now < before - SET_BACK:
                self._begin_again(now, before)
            for line in tuple(self.lines.values()):
                if line.slot is not None and line.slot.due <= now:
                    self._call(line, line.slot, now)
            self._arm()
        except Exception as error:  # noqa: BLE001 - else the timer would just not come again
            self._broken(error)

    def _begin_again(self, now: float, before: float) -> None:
        log.warning("The clock was set back by %.1f s", before - now)
        for line in self.lines.values():
            line.slot = line.entry.timing.first(now)

    def _call(self, line: Line, slot: Slot, now: float) -> None:
        caught_up = catch_up(line.entry.timing, slot, now)
        line.slot = caught_up.next
        if caught_up.missed is not None:
            log.warning(
                'Schedule "%s" missed its slots from %s on: nothing looked at the clock in time',
                line.entry.name,
                datetime.fromtimestamp(caught_up.missed.due, line.entry.timing.zone),
                extra={"schedule": line.entry.name},
            )
        if caught_up.latest is not None:
            self._due(line, caught_up.latest)
