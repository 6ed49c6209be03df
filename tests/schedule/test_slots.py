"""Slots: their numbers, which are the same in every process, and what is done about late ones."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncqueue.schedule.expressions import interval_of, timing_of
from asyncqueue.schedule.slots import GRACE, Slot, catch_up

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()


@given(
    st.floats(1e9, 4e9),
    st.one_of(st.floats(0.01, 1e6), st.sampled_from([0.1, 1 / 3, 7, 30, 86400])),
    st.integers(1, 200),
)
@pytest.mark.case("SCH-11")
def test_intervals_are_counted_without_gaps(start, seconds, count):
    """One slot in each interval from the epoch, whatever the phase and however odd the number."""
    timing = interval_of("x", seconds)
    slot = timing.first(start)
    assert slot.due == pytest.approx(start + seconds, abs=1e-6)
    numbers = [slot.number]
    for _ in range(count):
        following = timing.following(slot)
        assert following.due - slot.due == pytest.approx(seconds, abs=1e-5)
        slot = following
        numbers.append(slot.number)
    assert numbers == list(range(math.floor(start / seconds) + 1, numbers[-1] + 1))
    assert slot.due == pytest.approx(start + (count + 1) * seconds, abs=1e-5)


@given(st.floats(1e9, 4e9), st.floats(1, 1e5), st.floats(0, 1e7))
def test_an_interval_is_found_again_after_any_time(start, seconds, later):
    timing = interval_of("x", seconds)
    first = timing.first(start)
    found = timing.since(first, start + later)
    assert found.due >= start + later - 1e-5
    assert found == first or found.due - seconds < start + later + 1e-5
    assert found.number >= first.number


@pytest.mark.case("SCH-19")
def test_the_slots_of_one_interval_have_one_mark():
    timing = interval_of("x", 30)
    early, late = timing.first(NOON + 1), timing.first(NOON + 29.5)
    assert (early.due, late.due) == (NOON + 31, NOON + 59.5)
    assert timing.mark(early) == timing.mark(late)
    assert timing.mark(early) != timing.mark(timing.following(early))
    assert timing.mark(early) != interval_of("x", 60).mark(early)


@pytest.mark.case("SCH-19")
def test_a_slot_of_the_calendar_has_the_mark_of_its_instant():
    winter = timing_of("x", "0 9 * * *", "America/New_York").first(NOON)
    assert timing_of("x", "0 14 * * *", "UTC").mark(winter) == "2030-01-01T14:00Z"


def late(expression: str, seconds: float) -> tuple[float | None, float | None, float]:
    """Which slot is dispatched, the first that is missed, the next: in minutes after noon."""
    timing = timing_of("x", expression, "UTC")
    found = catch_up(timing, timing.first(NOON - 1), NOON + seconds)
    minutes = [None if slot is None else (slot.due - NOON) / 60 for slot in found]
    return tuple(minutes)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, (0, None, 1)),
        (59.999, (0, None, 1)),
        (60, (1, 0, 2)),
        (180, (3, 0, 4)),
        (GRACE, (5, 0, 6)),
        (GRACE + 0.5, (5, 0, 6)),
        (86400, (1440, 0, 1441)),
    ],
)
def test_of_several_missed_slots_the_latest_is_dispatched(seconds, expected):
    assert late("* * * * *", seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, (0, None, 60)),
        (GRACE, (0, None, 60)),
        (GRACE + 0.001, (None, 0, 60)),
        (3600, (60, 0, 120)),
        (3600 + GRACE, (60, 0, 120)),
        (7199, (None, 0, 120)),
    ],
)
def test_a_slot_older_than_the_grace_is_given_up(seconds, expected):
    assert late("@hourly", seconds) == expected


def test_a_slot_of_an_interval_older_than_the_grace_is_given_up():
    timing = interval_of("x", 1000)
    slot = timing.first(NOON)
    assert catch_up(timing, slot, slot.due + 300).latest == slot
    found = catch_up(timing, slot, slot.due + 301)
    assert found.latest is None
    assert (found.missed, found.next) == (slot, timing.following(slot))


def test_an_entry_that_comes_true_no_more_ends():
    class Once:
        zone = UTC

        def following(self, slot: Slot) -> None:
            return None

    slot = Slot(NOON, 1)
    assert catch_up(Once(), slot, NOON) == (slot, None, None)


@pytest.mark.parametrize("wrong", [0, -1, 0.001, 4e9, 1e300, 10**400, math.inf, math.nan])
@pytest.mark.case("SCH-01")
def test_intervals_that_cannot_be(wrong):
    with pytest.raises(ValueError, match='schedule "x": the interval'):
        interval_of("x", wrong)


def test_an_interval_that_is_none():
    with pytest.raises(
        TypeError, match='schedule "x": the interval must be seconds or a timedelta'
    ):
        interval_of("x", "5m")
