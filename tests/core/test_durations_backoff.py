"""Durations in code and configuration, and the curves between attempts."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncqueue.backoff import Backoff, exponential, fixed, from_list, linear
from asyncqueue.durations import parse_duration, to_finite_seconds, to_seconds
from asyncqueue.options import check_backoff

curves = st.one_of(
    st.builds(exponential, st.floats(0, 1e6), st.floats(0, 1e6), jitter=st.booleans()),
    st.builds(linear, st.floats(0, 1e6), st.floats(0, 1e6)),
    st.builds(fixed, st.floats(0, 1e6)),
    st.builds(from_list, st.lists(st.floats(0, 1e6), min_size=1)),
)


def waits(curve: Backoff, attempts: int) -> list[float]:
    return [curve(attempt) for attempt in range(1, attempts + 1)]


class TestDurations:
    @pytest.mark.case("CFG-14", "CFG-17")
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("5", 5.0),
            ("0", 0.0),
            ("-1", -1.0),
            ("0.5", 0.5),
            (".5", 0.5),
            ("5s", 5.0),
            ("100ms", 0.1),
            ("1000ms", 1.0),
            ("1h30m", 5400.0),
            ("1h 30m", 5400.0),
            ("7d", 604800.0),
            ("2w", 1209600.0),
            ("1.5h", 5400.0),
            (" 5S ", 5.0),
            ("5 s", 5.0),
            ("1d2h3m4s5ms", 93784.005),
        ],
    )
    def test_configuration_text(self, text: str, seconds: float) -> None:
        assert parse_duration(text) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "soon",
            "5x",
            "s",
            "5s later",
            "1h-30m",
            "-5s",
            "1,5s",
            "5 parsecs",
            "inf",
            "nan",
            "1e999",
            "9" * 400,
            "9" * 400 + "d",
            "1m 2 3s",
        ],
    )
    def test_text_that_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a"):
            parse_duration(text)

    @given(st.text(max_size=20))
    def test_any_text_is_finite_seconds_or_refused(self, text: str) -> None:
        try:
            seconds = parse_duration(text)
        except ValueError:
            return
        assert math.isfinite(seconds)

    def test_seconds_and_timedelta_in_code(self) -> None:
        assert to_seconds(2) == 2.0
        assert isinstance(to_seconds(2), float)
        assert to_seconds(timedelta(milliseconds=1500)) == 1.5
        assert to_seconds(math.inf) == math.inf
        assert to_finite_seconds(timedelta(hours=1)) == 3600.0

    @pytest.mark.parametrize("value", ["5s", None, True, [1], 1j])
    def test_nothing_else_in_code(self, value: Any) -> None:
        with pytest.raises(TypeError, match="lease must be seconds or a timedelta"):
            to_seconds(value, "lease")

    def test_nan_and_infinity(self) -> None:
        with pytest.raises(ValueError, match="lease .*NaN"):
            to_seconds(math.nan, "lease")
        with pytest.raises(ValueError, match="lease must be finite"):
            to_finite_seconds(math.inf, "lease")
        with pytest.raises(ValueError, match="lease is a number that no clock counts to"):
            to_seconds(10**400, "lease")


class TestCurves:
    @pytest.mark.case("RTY-07")
    def test_exponential(self) -> None:
        assert waits(exponential(2, 300), 10) == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]

    @pytest.mark.case("RTY-23")
    def test_exponential_to_an_hour(self) -> None:
        curve = exponential(1, timedelta(hours=1))
        assert waits(curve, 14) == [2**n for n in range(12)] + [3600, 3600]
        assert curve(10_000) == 3600

    def test_exponential_default(self) -> None:
        assert exponential() == exponential(1, 300)
        assert waits(exponential(), 10) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]

    @pytest.mark.case("RTY-08")
    def test_linear_and_fixed(self) -> None:
        assert waits(linear(3, 10), 5) == [3, 6, 9, 10, 10]
        assert waits(fixed(4), 5) == [4, 4, 4, 4, 4]

    def test_linear_and_fixed_caps(self) -> None:
        assert linear(100)(4) == 300
        assert fixed(1000)(1) == 1000, "a fixed delay has no cap but itself"

    @pytest.mark.case("RTY-05")
    def test_list(self) -> None:
        """The last one repeats."""
        assert waits(from_list([1, 5, 30, 120]), 6) == [1, 5, 30, 120, 120, 120]

    @pytest.mark.case("RTY-06")
    def test_an_empty_list_leaves_it_to_the_worker(self) -> None:
        assert check_backoff([]) is None
        assert check_backoff(None) is None

    def test_an_empty_curve_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one delay"):
            from_list([])
        with pytest.raises(msgspec.ValidationError, match="at least one delay"):
            msgspec.msgpack.decode(msgspec.msgpack.encode({"curve": "list"}), type=Backoff)

    @pytest.mark.case("RTY-09")
    def test_what_a_job_may_give(self) -> None:
        """Each becomes a curve of the job's own."""

        def own(job: Any, attempt: int, error: Exception) -> float:
            return 1.0

        assert check_backoff(4) == fixed(4)
        assert check_backoff((1, 5)) == from_list([1, 5])
        assert check_backoff([timedelta(seconds=1), 5]) == from_list([1, 5])
        assert check_backoff(timedelta(seconds=4)) == fixed(4)
        assert check_backoff(range(1, 3)) == from_list([1, 2])
        assert check_backoff(linear(2)) == linear(2)
        assert check_backoff(own) is own

    @pytest.mark.parametrize("value", [-1, math.nan, math.inf, [1, -5], [math.inf]])
    def test_delays_must_be_finite_and_not_negative(self, value: Any) -> None:
        with pytest.raises(ValueError, match="backoff"):
            check_backoff(value)

    @pytest.mark.parametrize("value", ["5s", True, ["5s"], {"a": 1}, b"5"])
    def test_delays_must_be_delays(self, value: Any) -> None:
        with pytest.raises(TypeError, match="backoff"):
            check_backoff(value)

    @pytest.mark.parametrize("make", [exponential, linear, fixed])
    def test_the_makers_refuse_nonsense(self, make: Any) -> None:
        for value in (-1, math.nan, math.inf):
            with pytest.raises(ValueError, match="backoff: "):
                make(value)
        for other in (True, "5s", None):
            with pytest.raises(TypeError, match="backoff: "):
                make(other)

    def test_the_makers_take_timedelta(self) -> None:
        second = timedelta(seconds=1)
        assert exponential(second, timedelta(minutes=5)) == exponential(1, 300)
        assert linear(second, second) == linear(1, 1)
        assert fixed(second) == fixed(1)
        assert from_list([second]) == from_list([1])

    @given(curves, st.integers(-5, 10**9))
    def test_every_wait_is_finite_and_not_negative(self, curve: Backoff, attempt: int) -> None:
        assert 0 <= curve(attempt) < math.inf

    @given(st.floats(0, 100), st.floats(0, 1000), st.integers(1, 2000))
    def test_jitter_stays_below_the_curve(self, base: float, cap: float, attempt: int) -> None:
        assert exponential(base, cap, jitter=True)(attempt) <= exponential(base, cap)(attempt)

    def test_jitter_spreads(self) -> None:
        curve = exponential(100, jitter=True)
        assert len({curve(1) for _ in range(20)}) > 1

    @pytest.mark.case("DSP-16")
    @given(curves)
    def test_they_can_be_stored(self, curve: Backoff) -> None:
        """A curve given at dispatch survives storage."""
        stored = msgspec.msgpack.encode(curve)
        assert msgspec.msgpack.decode(stored, type=Backoff) == curve
