"""When expressions come true, against a slow and simple answer, in zones with odd clocks."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncqueue.schedule.expressions import timing_of
from asyncqueue.schedule.slots import Cron, upcoming

from .oracle import LIMITS, comes_true, day


def times(expression: str, zone: str, start: datetime, count: int) -> list[str]:
    """The next times, as clocks there show them with their offset."""
    timing = timing_of("x", expression, zone)
    moments = upcoming(timing, timing.first(start.timestamp()))
    return [f"{moment:%m-%d %H:%M%z}" for moment in itertools.islice(moments, count)]


def instants(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    timing = timing_of("x", expression, zone)
    moments = upcoming(timing, timing.first(start.timestamp()))
    return [m.astimezone(UTC) for m in itertools.takewhile(lambda moment: moment <= end, moments)]


NEW_YORK, LORD_HOWE, SANTIAGO = "America/New_York", "Australia/Lord_Howe", "America/Santiago"
CHANGES = {
    NEW_YORK: ("2026-03-07", "2026-10-31"),
    "Europe/Berlin": ("2026-03-28", "2026-10-24"),
    LORD_HOWE: ("2026-10-03", "2026-04-04"),  # half an hour
    SANTIAGO: ("2026-09-05", "2026-04-04"),  # at midnight
    "Africa/Cairo": ("2026-04-23", "2026-10-29"),  # at midnight, too
    "Asia/Kolkata": ("2026-03-28", "2026-10-24"),  # never, and half an hour beside the others
    "UTC": ("2026-03-28", "2026-10-24"),
}
"""The days before the clocks go forward and back."""


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.lists(number, min_size=2, max_size=2).map(sorted)
    span = pair.map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(1, high)
    plain = st.one_of(number.map(str), span)
    stepped = st.tuples(span, step).map(lambda both: f"{both[0]}/{both[1]}")
    wild = step.map(lambda each: f"*/{each}")
    listed = st.lists(plain, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), wild, stepped, listed)


@given(
    st.tuples(*(field(*limits) for limits in LIMITS)).map(" ".join),
    st.sampled_from(sorted(CHANGES)),
    st.booleans(),
    st.integers(0, 86400),
)
@settings(max_examples=75)
@pytest.mark.case("SCH-15", "SCH-16", "SCH-17")
def test_comes_true_as_the_slow_way_says(expression, zone, back, seconds):
    start = day(CHANGES[zone][back]) + timedelta(seconds=seconds)
    end = start + timedelta(days=2)
    try:
        found = instants(expression, zone, start, end)
    except ValueError:
        found = []  # Such as the 31st of February.
    assert found == comes_true(expression, ZoneInfo(zone), start, end)


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        # Skipped by the clock: at the end of the gap, once.
        ("30 2 * * *", NEW_YORK, "2026-03-07", "03-07 02:30-0500, 03-08 03:00-0400"),
        ("15 2 * * *", LORD_HOWE, "2026-10-02", "10-03 02:15+1030, 10-04 02:30+1100"),
        ("0 0 * * *", SANTIAGO, "2026-09-05", "09-05 00:00-0400, 09-06 01:00-0300"),
        # Twice on the clock: once.
        ("30 1 * * *", NEW_YORK, "2026-11-01", "11-01 01:30-0400, 11-02 01:30-0500"),
        ("45 1 * * *", LORD_HOWE, "2026-04-04", "04-05 01:45+1100, 04-06 01:45+1030"),
        # Each hour and each quarter are what they are.
        ("0 * * * *", NEW_YORK, "2026-11-01T04:30", "11-01 01:00-0400, 11-01 01:00-0500"),
        ("*/15 2 * * 0", NEW_YORK, "2026-03-07", "03-15 02:00-0400, 03-15 02:15-0400"),
        ("*/30 0 * * 0", SANTIAGO, "2026-09-05", "09-13 00:00-0300, 09-13 00:30-0300"),
        ("*/15 2 * * *", LORD_HOWE, "2026-04-04T13", "04-05 02:00+1030, 04-05 02:15+1030"),
        ("*/15 3 * * *", LORD_HOWE, "2026-10-03T13", "10-04 03:00+1100, 10-04 03:15+1100"),
        ("0 */2 * * *", LORD_HOWE, "2026-04-04T13", "04-05 02:00+1030, 04-05 04:00+1030"),
        ("*/30 1-3/2 * * *", LORD_HOWE, "2026-10-03T15", "10-04 03:00+1100, 10-04 03:30+1100"),
        ("30 * * * *", LORD_HOWE, "2026-04-04T14", "04-05 01:30+1100, 04-05 01:30+1030"),
        ("* * * * 0", SANTIAGO, "2026-09-05T12:00", "09-06 01:00-0300, 09-06 01:01-0300"),
    ],
)
@pytest.mark.case("SCH-15")
def test_changes_of_the_clock(expression, zone, start, expected):
    since = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert ", ".join(times(expression, zone, since, 2)) == expected


def test_a_fixed_time_in_the_hour_that_comes_twice_is_not_in_the_past():
    """Asked in the second of the two hours, its answer is tomorrow's."""
    second_time = datetime(2026, 11, 1, 6, 15, tzinfo=UTC)
    assert times("30 1 * * *", "America/New_York", second_time, 1) == ["11-02 01:30-0500"]


@pytest.mark.case("SCH-16")
def test_lists_ranges_and_steps():
    friday = datetime(2026, 5, 1, 17, 0, tzinfo=UTC)
    expected = ["05-01 17:30+0000", "05-04 09:00+0000", "05-04 09:30+0000"]
    assert times("0,30 9-17 * * 1-5", "UTC", friday, 3) == expected
    quarters = [f"05-01 {hour}:{minute:02}+0000" for hour in (17, 18) for minute in (0, 15, 30, 45)]
    assert times("*/15 * * * *", "UTC", friday - timedelta(seconds=1), 8) == quarters


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("7-7/10 17 * * *", ["05-01 17:07+0000", "05-02 17:07+0000"]),
        ("5,07-7/10 17 * * *", ["05-01 17:05+0000", "05-01 17:07+0000"]),
        ("0 18-18/2 * * *", ["05-01 18:00+0000", "05-02 18:00+0000"]),
        ("0 0 2-2/9 jun-6/2 *", ["06-02 00:00+0000", "06-02 00:00+0000"]),
        ("0 0 * * Mon-MON/2", ["05-04 00:00+0000", "05-11 00:00+0000"]),
        ("7/50 17 * * *", ["05-01 17:07+0000", "05-01 17:57+0000"]),
    ],
)
@pytest.mark.case("SCH-16")
def test_a_range_of_one_and_a_step(expression, expected):
    """It is that one, while a number with a step goes on to the end."""
    assert times(expression, "UTC", datetime(2026, 5, 1, 17, 0, tzinfo=UTC), 2) == expected


@pytest.mark.parametrize(
    ("field", "expression"),
    [
        ("minute", "7-7/0 * * * *"),
        ("month", "0 0 1 MAR-WED/2 *"),
        ("month", "0 0 1 3-WED/2 *"),
        ("day-of-week", "0 0 * * WED-MAR/2"),
        ("hour", "0 24-24/2 * * *"),
    ],
)
def test_a_range_of_one_and_a_step_is_checked_as_it_is_written(field, expression):
    with pytest.raises(ValueError, match=f"its {field} '[^ ]*/[02]' cannot be understood"):
        timing_of("x", expression, "UTC")


@pytest.mark.parametrize("sunday", ["0", "7", "SUN", "sun", "7,0", "6-7/2,0"])
@pytest.mark.case("SCH-16")
def test_sunday_is_0_and_7(sunday):
    expected = ["05-03 12:00+0000", "05-10 12:00+0000", "05-17 12:00+0000"]
    found = times(f"0 12 * * {sunday}", "UTC", datetime(2026, 5, 1, tzinfo=UTC), 6)
    assert [time for time in found if time[:5] in {"05-03", "05-10", "05-17"}] == expected


@pytest.mark.case("SCH-17")
def test_day_of_month_or_day_of_week():
    march = datetime(2026, 3, 1, tzinfo=UTC)
    days = [time[:5] for time in times("0 0 13 * 5", "UTC", march, 6)]
    assert days == ["03-06", "03-13", "03-20", "03-27", "04-03", "04-10"]
    days = [time[:5] for time in times("0 0 14 * 5", "UTC", march, 5)]
    assert days == ["03-06", "03-13", "03-14", "03-20", "03-27"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("@hourly", ["05-06 13:00+0000", "05-06 14:00+0000"]),
        ("@daily", ["05-07 00:00+0000", "05-08 00:00+0000"]),
        ("@midnight", ["05-07 00:00+0000", "05-08 00:00+0000"]),
        ("@weekly", ["05-10 00:00+0000", "05-17 00:00+0000"]),
        ("@monthly", ["06-01 00:00+0000", "07-01 00:00+0000"]),
        ("@yearly", ["01-01 00:00+0000", "01-01 00:00+0000"]),
        ("@annually", ["01-01 00:00+0000", "01-01 00:00+0000"]),
        ("@every 5m", ["05-06 12:35+0000", "05-06 12:40+0000"]),
        ("@every 1h30m", ["05-06 14:00+0000", "05-06 15:30+0000"]),
        ("@EVERY 90s", ["05-06 12:31+0000", "05-06 12:33+0000"]),
    ],
)
@pytest.mark.case("SCH-02")
def test_names(name, expected):
    assert times(name, "UTC", datetime(2026, 5, 6, 12, 30, tzinfo=UTC), 2) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("not-a-cron", "it has 1 field, not the five"),
        ("", "it has 0 fields"),
        ("* * * * * *", "it has 6 fields"),
        ("60 * * * *", "its minute '60' cannot be understood (0-59)"),
        ("* 24 * * *", "its hour '24'"),
        ("* * 0 * *", "its day-of-month '0'"),
        ("* * * 13 *", "its month '13'"),
        ("* * * * 8", "its day-of-week '8'"),
        ("5-1 * * * *", "its minute '5-1'"),
        ("*/0 * * * *", "its minute '*/0'"),
        ("1,,2 * * * *", "its minute '1,,2'"),
        ("a * * * *", "its minute 'a'"),
        ("\u0663 * * * *", "its minute"),
        ("1_0 * * * *", "its minute '1_0'"),
        ("*/90 * * * *", "its minute '*/90' has a step over 59; for other intervals: @every"),
        ("* 0-12/24 * * *", "its hour '0-12/24' has a step over 23"),
        ("* * * * */99999999999999999999", "its day-of-week"),
        ("-1 * * * *", "its minute '-1'"),
        ("0 0 30 2 *", "its day-of-month '30'"),
        ("* * */20 * 1L", "no day of the next 50 years fits it"),
        ("@often", "known names are @hourly, @daily"),
        ("@every", "known names are @hourly, @daily"),
        ("@every soon", "'soon' is not a duration"),
        ("@every 0s", "its interval must be from 0.01 seconds to 100 years"),
        ("@every 40000d", "its interval must be from 0.01 seconds to 100 years"),
        ("@every -5m", "'-5m' is not a duration"),
        ("@reboot", "known names are"),
    ],
)
@pytest.mark.case("SCH-01")
def test_what_is_malformed(expression, reason):
    beginning = f'schedule "daily-report": {expression!r} is not a cron expression: '
    with pytest.raises(ValueError, match=re.escape(beginning)) as raised:
        timing_of("daily-report", expression, "UTC")
    assert reason in str(raised.value)


def test_what_is_too_long():
    with pytest.raises(ValueError, match="it has 20,008 characters, at most 1,000") as raised:
        timing_of("x", "1" * 20_000 + " * * * *", "UTC")
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("expression", ["* * * * *", "0 0 29 2 *", "@yearly", "@every 1h"])
@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "Pacific/Kiritimati"])
@pytest.mark.parametrize("start", ["9998-12-31T23:59:30", "9999-12-31T23:58:30"])
def test_nothing_comes_after_the_last_of_all_years(expression, zone, start):
    """A clock may be that wrong for a moment."""
    timing = timing_of("x", expression, zone)
    now = datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()
    assert timing.first(now) is None
    assert timing.first(1e300) is None
    before = timing.first(now - 3 * 366 * 86400)
    assert before is None or timing.since(before, now) is None


def test_the_last_slots():
    timing = timing_of("x", "0 0 29 2 *", "UTC")
    since = timing.first(datetime(9989, 1, 1, tzinfo=UTC).timestamp())
    assert [moment.year for moment in upcoming(timing, since)] == [9992, 9996]


def test_zones():
    berlin = ZoneInfo("Europe/Berlin")
    assert isinstance(timing_of("x", "0 9 * * *", berlin), Cron)
    assert timing_of("x", "0 9 * * *", "UTC").zone is UTC
    for wrong in ("Mars/Olympus", "", "../UTC", "America"):
        with pytest.raises(ValueError, match='schedule "x": there is no time zone'):
            timing_of("x", "0 9 * * *", wrong)
    with pytest.raises(ValueError, match="there is no time zone"):
        timing_of("x", "@every 5m", "Mars/Olympus")


def test_what_is_no_text():
    with pytest.raises(TypeError, match='schedule "x": the expression must be a text, got 5'):
        timing_of("x", 5, "UTC")
    with pytest.raises(TypeError, match='schedule "x": the timezone must be a name, got 5'):
        timing_of("x", "@daily", 5)


def test_rare_days_are_found():
    timing = timing_of("x", "0 0 29 2 *", NEW_YORK)
    moments = upcoming(timing, timing.first(datetime(2026, 1, 1, tzinfo=UTC).timestamp()))
    years = [moment.year for moment in itertools.islice(moments, 19)]
    assert years == [*range(2028, 2100, 4), 2104]
