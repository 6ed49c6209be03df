"""Random expressions over three years, in zones with odd clocks, against a slow and simple answer.

The years have a 29th of February, three ends of a year, and every change of the clock there is.
"""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from asyncqueue.schedule.expressions import timing_of

from .oracle import LIMITS, MINUTE, first_time, fits, values

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, 1, tzinfo=UTC)
DAY, QUARTER = timedelta(days=1), timedelta(minutes=15)
ZONES = (
    *("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago"),
    *("Africa/Cairo", "Asia/Kolkata", "UTC"),
)
EXPRESSIONS = 200
MOST = 4_000
"""Slots of one expression that are compared; of most there are fewer in three years."""
CALENDAR = (
    *("0 0 29 2 *", "59 23 31 12 *", "0 0 1 1 *", "0 0 31 * *", "0 12 28-31 2 *", "30 2 * * *"),
    *("30 1 * * 0", "*/5 0-3 * * *", "0 */2 * 3,4,9-11 0", "0 0 30 4,6,9,11 *", "* 2 * 3 0"),
)
"""What random ones may miss."""


def random_field(chance: random.Random, low: int, high: int) -> str:
    first, last = sorted((chance.randint(low, high), chance.randint(low, high)))
    step = chance.randint(1, high)
    listed = ",".join(str(chance.randint(low, high)) for _ in range(chance.randint(2, 4)))
    wide = [f"*/{step}", f"{first}-{last}", f"{first}-{last}/{step}", listed]
    return chance.choice(["*", "*", str(first), *wide])


@cache
def quarters(zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Each quarter of an hour, and what clocks there show: they change on none but these."""
    count = int((END - START) / QUARTER)
    instants = (START + n * QUARTER for n in range(count))
    pairs = [(instant, instant.astimezone(zone).replace(tzinfo=None)) for instant in instants]
    assert all(local.minute % 15 == 0 for _, local in pairs)
    return pairs


@cache
def quiet(zone: ZoneInfo, date: datetime) -> timedelta | None:
    """By how much clocks there are ahead on a day around which they do not change."""
    ends = ((date + n * DAY).replace(tzinfo=UTC) for n in (-2, 3))
    ahead = {end.astimezone(zone).utcoffset() for end in ends}
    return ahead.pop() if len(ahead) == 1 else None


def first_times(naive: datetime, zone: ZoneInfo) -> datetime:
    date = naive.replace(hour=0, minute=0)
    ahead = quiet(zone, date)
    return first_time(naive, zone) if ahead is None else (naive - ahead).replace(tzinfo=UTC)


def slowly(expression: str, zone: ZoneInfo) -> list[datetime]:
    """All instants of the three years at which it comes true."""
    texts = expression.split()
    fields = [values(text, *limits) for text, limits in zip(texts, LIMITS, strict=True)]
    minutes, hours = sorted(fields[0]), sorted(fields[1])
    fields[0], fields[1] = set(range(60)), set(range(24))  # Days are looked at on their own.
    days = {
        date
        for n in range(-2, (END - START).days + 3)
        if fits(texts, fields, date := START.replace(tzinfo=None) + n * DAY)
    }
    if not texts[0].startswith("*") and not texts[1].startswith("*"):
        shown = (
            date.replace(hour=hour, minute=minute)
            for date in days
            for hour in hours
            for minute in minutes
        )
        found = {first_times(naive, zone) for naive in shown}
        return sorted(instant for instant in found if START < instant <= END)
    return [
        instant + n * MINUTE
        for instant, local in quarters(zone)
        if local.hour in hours and local.replace(hour=0, minute=0) in days
        for n in range(15)
        if local.minute + n in minutes and instant + n * MINUTE > START
    ]


def cases() -> list[tuple[str, str]]:
    chance = random.Random(20260301)
    found = [(text, zone) for text in CALENDAR for zone in ZONES]
    for number in range(EXPRESSIONS):
        text = " ".join(random_field(chance, *limits) for limits in LIMITS)
        found.append((text, ZONES[number % len(ZONES)]))
    return found


@pytest.mark.faults
@pytest.mark.parametrize("zone", ZONES)
def test_three_years_of_random_expressions(zone: str) -> None:
    compared = 0
    for expression in (text for text, where in cases() if where == zone):
        expected = slowly(expression, ZoneInfo(zone))
        # Of those that come true all the time a stretch, another one each time.
        at = random.Random(expression).randrange(max(len(expected) - MOST, 1))
        expected = expected[at : at + MOST]
        since = expected[0] - timedelta(seconds=1) if at else START
        try:
            timing = timing_of("x", expression, zone)
        except ValueError:
            assert not expected, expression  # Such as the 31st of February.
            continue
        slot = timing.first(since.timestamp())
        found = []
        while slot is not None and slot.due <= END.timestamp() and len(found) < MOST:
            found.append(datetime.fromtimestamp(slot.due, UTC))
            slot = timing.following(slot)
        mismatches = [both for both in itertools.zip_longest(found, expected) if len(set(both)) > 1]
        assert mismatches[:3] == [], expression
        compared += len(found)
    assert compared > 10_000


def test_the_slow_answer_knows_the_changes() -> None:
    """In the gap, in the hour that comes twice, and on a day that is seldom."""
    berlin = ZoneInfo("Europe/Berlin")
    told = [f"{at:%m-%d %H:%M}" for at in slowly("30 2 28,29 3 0", berlin) if at.year == 2026][-1:]
    assert told == ["03-29 01:00"]
    twice = slowly("*/30 2 25 10 *", berlin)[:4]
    assert [f"{at:%m-%d %H:%M}" for at in twice] == [
        "10-25 00:00",
        "10-25 00:30",
        "10-25 01:00",
        "10-25 01:30",
    ]
    assert [f"{at:%Y-%m-%d}" for at in slowly("0 12 29 2 *", berlin)] == ["2028-02-29"]
