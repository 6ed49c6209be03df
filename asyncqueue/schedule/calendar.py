"""When a cron expression comes true."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from cronsim import CronSim

if TYPE_CHECKING:
    from datetime import datetime


class Calendar(CronSim):
    """The moments after a start, one after the other, in the start's time zone.

    Two rare things are mended here: days that begin with a gap, and zones whose clocks change
    by half an hour.
    """

    def advance_month(self) -> None:
        """Go to the first moment of a month that fits."""
        before = self.dt
        super().advance_month()
        self._leave_gap(before)

    def advance_day(self) -> bool:
        """Go to the first moment of a day that fits; whether that was necessary."""
        before = self.dt
        moved = super().advance_day()
        self._leave_gap(before)
        return moved

    def advance_hour(self) -> bool:
        """Go to the first moment of an hour that fits; whether that was necessary.

        From one hour to the next there may be half an hour, or one and a half.
        """
        if self.dt.hour in self.hours:
            return False
        self.dt = self.dt.replace(second=0)
        while self.dt.hour not in self.hours:
            self.tick(seconds=3600 - 60 * self.dt.minute)
            if self.dt.hour == 0:
                break
        return True

    def advance_minute(self) -> bool:
        """Go to the first moment that fits of this hour; whether that was necessary.

        Minute by minute: on the way the clocks may change.
        """
        if self.dt.tzinfo in (None, UTC):
            return super().advance_minute()
        if self.dt.minute in self.minutes:
            return False
        self.dt = self.dt.replace(second=0)
        while self.dt.minute not in self.minutes:
            self.tick(seconds=60)
            if self.dt.minute == 0:
                break
        return True

    def _leave_gap(self, before: datetime) -> None:
        """A midnight that the clocks skip is the first moment after the gap."""
        zone = self.dt.tzinfo
        if self.dt is not before and zone is not None:
            self.dt = self.dt.astimezone(UTC).astimezone(zone)
