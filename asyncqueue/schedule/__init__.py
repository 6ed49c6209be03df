"""Jobs that come by themselves, by the calendar or by an interval."""

from asyncqueue.schedule.entry import ScheduleEntry
from asyncqueue.schedule.scheduler import Scheduler

__all__ = ["ScheduleEntry", "Scheduler"]
