"""What users write of when an entry is due, read and checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSimError

from asyncqueue.durations import Duration, parse_duration, to_finite_seconds
from asyncqueue.schedule.calendar import Calendar
from asyncqueue.schedule.slots import Cron, Interval, Timing

NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS: Final = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L or LW, and a day that one of its months has",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, 0 and 7 are Sunday; 5L is the last Friday, 5#2 the second",
}
STEPS: Final = (59, 23, 31, 12, 7)
"""The longest step of each field: with a longer one it comes no more than once a round."""
SHORTEST: Final = 0.01
"""Seconds between two slots at least."""
LONGEST: Final = 100 * 366 * 86400.0
"""Seconds between two slots at most."""
MOST_OF_IT: Final = 1000
"""Characters of an expression."""
SOME_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MONTHS: Final = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NUMBERS: Final = {
    **{name: str(number) for number, name in enumerate(_MONTHS, 1)},
    **{name: str(number) for number, name in enumerate(_DAYS)},
}
_STEP: Final = re.compile(r"/(\d+)")
_STEPPED_SPAN: Final = re.compile(r"(\w+)-(\w+)/0*[1-9]\d*", re.ASCII)
_EVERY: Final = re.compile(r"@every\s+(.+)", re.IGNORECASE)


def timing_of(entry: str, expression: str, timezone: str | tzinfo) -> Timing:
    """The timing of a cron expression, a name such as ``@daily``, or ``@every 5m``.

    Raises ``ValueError`` (``TypeError`` for what is no text) naming the entry, what was given
    and what is wrong with it.
    """
    if not isinstance(expression, str):
        raise TypeError(f"{_of(entry)} the expression must be a text, got {expression!r}")
    if len(expression) > MOST_OF_IT:
        has = f"{len(expression):,} characters, at most {MOST_OF_IT:,}"
        raise _malformed(entry, f"{expression[:40]}…", f"it has {has}")
    zone = zone_of(entry, timezone)
    every = _EVERY.fullmatch(expression.strip())
    if every is not None:
        return _interval(entry, expression, every[1])
    return _cron(entry, expression, zone)


def interval_of(entry: str, interval: Duration) -> Interval:
    """The timing of seconds or a ``timedelta``."""
    seconds = to_finite_seconds(interval, f"{_of(entry)} the interval")
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(
            f"{_of(entry)} the interval must be from {SHORTEST} seconds to 100 years, got "
            f"{interval!r}"
        )
    return Interval(seconds)


def zone_of(entry: str, timezone: str | tzinfo) -> tzinfo:
    """The time zone of this name."""
    if isinstance(timezone, tzinfo):
        return timezone
    if not isinstance(timezone, str):
        raise TypeError(f"{_of(entry)} the timezone must be a name, got {timezone!r}")
    if timezone == "UTC":
        return UTC  # Known where no time zones are installed, too.
    try:
        return ZoneInfo(timezone)
    except (LookupError, OSError, ValueError) as error:
        raise ValueError(
            f"{_of(entry)} there is no time zone {timezone!r}. Write a name such as "
            '"Europe/Berlin"; where the system has none, install tzdata.'
        ) from error


def _interval(entry: str, expression: str, text: str) -> Interval:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise _malformed(entry, expression, str(error)) from error
    if not SHORTEST <= seconds <= LONGEST:
        reason = f"its interval must be from {SHORTEST} seconds to 100 years"
        raise _malformed(entry, expression, reason)
    return Interval(seconds)


def _cron(entry: str, expression: str, zone: tzinfo) -> Cron:
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in NAMED:
            known = ", ".join((*NAMED, "@every 5m"))
            raise _malformed(entry, expression, f"known names are {known}")
        text = NAMED[text.lower()]
    parts = text.split()
    if len(parts) != len(FIELDS):
        has = f"{len(parts)} field" + ("" if len(parts) == 1 else "s")
        raise _malformed(entry, expression, f"it has {has}, not the five: {' '.join(FIELDS)}")
    _refuse_long_steps(entry, expression, parts)
    spelled = " ".join(map(_spelled, parts))
    try:
        Calendar(text, SOME_DAY)  # Else what is wrong in a term might not be in what is read of it.
        comes = next(Calendar(spelled, SOME_DAY), None)
    except CronSimError as error:
        raise _malformed(entry, expression, _reason(parts, str(error))) from error
    if comes is None:
        raise _malformed(entry, expression, "no day of the next 50 years fits it")
    return Cron(spelled, zone)


def _spelled(part: str) -> str:
    """A field with ``5-5/10`` as ``5``: cronsim would go on from there, as with ``5/10``."""

    def short(term: str) -> str:
        span = _STEPPED_SPAN.fullmatch(term)
        return span[1] if span is not None and _number(span[1]) == _number(span[2]) else term

    return ",".join(map(short, part.split(",")))


def _number(text: str) -> str:
    return _NUMBERS.get(text.upper(), text.lstrip("0"))


def _refuse_long_steps(entry: str, expression: str, parts: list[str]) -> None:
    """``*/90`` comes at minute 0 of every hour, which is not what anybody means by it."""
    for part, field, most in zip(parts, FIELDS, STEPS, strict=True):
        for step in _STEP.findall(part):
            if len(step) > len(str(most)) or int(step) > most:
                reason = f"its {field} {part!r} has a step over {most}; for other intervals: @every"
                raise _malformed(entry, expression, reason)


def _reason(parts: list[str], said: str) -> str:
    """Which field is wrong, and what may stand there."""
    for part, (field, allowed) in zip(parts, FIELDS.items(), strict=True):
        if said.endswith(f" {field}"):
            return f"its {field} {part!r} cannot be understood ({allowed})"
    return said


def _malformed(entry: str, expression: str, reason: str) -> ValueError:
    return ValueError(f"{_of(entry)} {expression!r} is not a cron expression: {reason}")


def _of(entry: str) -> str:
    return f'schedule "{entry}":'
