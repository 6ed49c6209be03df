"""When entries are due. Pure: instants go in and come out, nobody looks at a clock.

Slots are numbered so that all processes give one slot the same number, however their clocks and
starts differ: it is what makes a slot's job the same job everywhere.
"""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from asyncqueue.schedule.calendar import Calendar

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE: Final = 300.0
"""Seconds for which a slot that could not be dispatched in time is still worth dispatching."""
SKEW: Final = 300.0
"""Seconds by which the clock of a scheduler may be wrong without a slot coming twice."""
END: Final = datetime(9998, 12, 31, tzinfo=UTC).timestamp()
"""No slot comes after this: dates end with the year 9999, so calendars cannot look beyond."""
REMEMBERED: Final = GRACE + 2 * SKEW + 60
"""Seconds that the record of a slot's job is kept at least.

One scheduler may be as far ahead as may be and another as far behind, and that one as late as it
may be; a minute is for what is on its way by then.
"""


class Slot(NamedTuple):
    """One time at which an entry is due.

    ``due`` is in seconds since the epoch. ``phase`` is how far into its interval a scheduler
    began; 0 where the calendar decides.
    """

    due: float
    number: int
    phase: float = 0.0


class Timing(Protocol):
    """When an entry is due: a series of slots without an end."""

    @property
    def zone(self) -> tzinfo:
        """The time zone in which to tell its times."""
        ...

    def first(self, now: float) -> Slot | None:
        """The slot to wait for from now on, never one that is due at this moment."""
        ...

    def following(self, slot: Slot) -> Slot | None:
        """The slot after this one."""
        ...

    def since(self, slot: Slot, instant: float) -> Slot | None:
        """The first slot of the same series, not before this one, at or after an instant."""
        ...

    def mark(self, slot: Slot) -> str:
        """What tells this slot from all others of its entry, the same in every process."""
        ...


class Cron:
    """A cron expression of five fields, in a time zone."""

    def __init__(self, expression: str, zone: tzinfo) -> None:
        self._expression = expression
        self.zone = zone

    def first(self, now: float) -> Slot | None:
        """See :class:`Timing`."""
        return self._after(now)

    def following(self, slot: Slot) -> Slot | None:
        """See :class:`Timing`."""
        return self._after(slot.due)

    def since(self, slot: Slot, instant: float) -> Slot | None:
        """See :class:`Timing`. Slots are whole seconds."""
        return slot if slot.due >= instant else self._after(math.ceil(instant) - 1)

    def mark(self, slot: Slot) -> str:
        """See :class:`Timing`: the instant, in UTC."""
        return f"{datetime.fromtimestamp(slot.number, UTC):%Y-%m-%dT%H:%MZ}"

    def _after(self, instant: float) -> Slot | None:
        if instant > END:
            return None
        try:
            # In the hour that comes twice the first answers may be those of its first time.
            for moment in Calendar(self._expression, datetime.fromtimestamp(instant, self.zone)):
                due = moment.timestamp()
                if due > instant:
                    return Slot(due, int(due))
        except OverflowError:  # It looked for the next one beyond the last of all dates.
            return None
        return None


class Interval:
    """Every so many seconds, the first time one interval after the start.

    Intervals are counted from the epoch. A scheduler keeps to the moment of the interval at which
    it began, so it has exactly one slot in each; the slots of all schedulers within one interval
    have the same number, and the earliest of them comes first.
    """

    zone: tzinfo = UTC

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def first(self, now: float) -> Slot | None:
        """See :class:`Timing`."""
        number = math.floor(now / self.seconds)
        return self._slot(number + 1, now - number * self.seconds)

    def following(self, slot: Slot) -> Slot | None:
        """See :class:`Timing`."""
        return self._slot(slot.number + 1, slot.phase)

    def since(self, slot: Slot, instant: float) -> Slot | None:
        """See :class:`Timing`."""
        number = math.ceil((instant - slot.phase) / self.seconds)
        return self._slot(max(number, slot.number), slot.phase)

    def mark(self, slot: Slot) -> str:
        """See :class:`Timing`: the interval, as another one has other numbers, and which it is."""
        return f"{self.seconds!r}s:{slot.number}"

    def _slot(self, number: int, phase: float) -> Slot | None:
        due = number * self.seconds + phase
        return Slot(due, number, phase) if due <= END else None


class CaughtUp(NamedTuple):
    """What is to be done about the slots until now.

    ``latest`` is the one to dispatch, if one is; ``missed`` the first of those that are given up
    for it, or because they are older than the grace; ``next`` the one to wait for.
    """

    latest: Slot | None
    missed: Slot | None
    next: Slot | None


def catch_up(timing: Timing, slot: Slot, now: float) -> CaughtUp:
    """The latest slot until now that is not older than the grace, given the first open one."""
    coming: Slot | None = slot
    missed: Slot | None = None
    if now - slot.due > GRACE:
        missed, coming = slot, timing.since(slot, now - GRACE)
    latest: Slot | None = None
    while coming is not None and coming.due <= now:
        missed = missed or latest
        latest, coming = coming, timing.following(coming)
    return CaughtUp(latest, missed, coming)


def upcoming(timing: Timing, slot: Slot | None) -> Iterator[datetime]:
    """The times of a slot and of those after it."""
    while slot is not None:
        yield datetime.fromtimestamp(slot.due, timing.zone)
        slot = timing.following(slot)


def take(moments: Iterator[datetime], count: int) -> list[datetime]:
    """The first ``count`` of them."""
    return list(itertools.islice(moments, count))
