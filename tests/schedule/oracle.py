"""When a cron expression comes true, the slow way: by looking at every minute.

The rule for changes of the clock is that of the classical cron. An expression whose minute or
hour begins with ``*`` looks at the wall clock each minute: what is skipped does not come, what
comes twice comes twice. Any other one means certain times of day: what is skipped comes at the
end of the gap, what would come twice comes once.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def comes_true(expression: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The instants after ``start`` until ``end``, in UTC."""
    texts = expression.split()
    fields = [values(text, *limits) for text, limits in zip(texts, LIMITS, strict=True)]
    if texts[0].startswith("*") or texts[1].startswith("*"):
        local = [instant.astimezone(zone) for instant in minutes(start, end)]
        found = {moment.astimezone(UTC) for moment in local if fits(texts, fields, moment)}
    else:
        # A gap is shorter than a day.
        first = (start.astimezone(zone) - timedelta(days=1)).replace(tzinfo=None)
        last = (end.astimezone(zone) + timedelta(days=1)).replace(tzinfo=None)
        naive = [moment for moment in minutes(first, last) if fits(texts, fields, moment)]
        found = {first_time(moment, zone) for moment in naive}
    return sorted(instant for instant in found if start < instant <= end)


def first_time(naive: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which clocks there show this or, after a gap, a later time."""
    instant = naive.replace(tzinfo=UTC) - timedelta(hours=15)
    while instant.astimezone(zone).replace(tzinfo=None) < naive:
        step = naive - instant.astimezone(zone).replace(tzinfo=None)
        instant += max(MINUTE, min(step - timedelta(hours=2), timedelta(hours=6)))
    return instant


def minutes(start: datetime, end: datetime) -> list[datetime]:
    start = start.replace(second=0, microsecond=0)
    return [start + n * MINUTE for n in range(int((end - start) / MINUTE) + 1)]


def fits(texts: list[str], fields: list[set[int]], moment: datetime) -> bool:
    minute, hour, days, months, weekdays = fields
    on_day = moment.day in days
    on_weekday = bool({moment.isoweekday(), moment.isoweekday() % 7} & weekdays)
    both = texts[2].startswith("*") or texts[4].startswith("*")
    return (
        moment.minute in minute
        and moment.hour in hour
        and moment.month in months
        and (on_day and on_weekday if both else on_day or on_weekday)
    )


def values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            first, _, last = (int(end) if end.isdigit() else end for end in span.partition("-"))
            last = last if isinstance(last, int) else (high if step else first)
        found |= set(range(first, last + 1, int(step or 1)))
    return found


def day(text: str) -> datetime:
    """Midnight of a day in UTC."""
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
