"""What cannot be stored, or would come back different."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections import OrderedDict
from typing import Any

import msgspec
import pytest

from asyncqueue import codec
from asyncqueue.errors import PayloadError, PayloadTooLarge
from asyncqueue.job import Job
from tests.core.payloads import (
    LIMIT,
    Colour,
    Inner,
    Loose,
    LooseInside,
    LooseObject,
    Pair,
    Plain,
    Size,
    Typed,
    class_with,
    round_trip,
)


class TestChanged:
    """What would come back different is refused while its producer can still be told."""

    @pytest.mark.parametrize(
        "value",
        [
            (1, 2),
            {1, 2},
            [(1,)],
            {"a": (1,)},
            Colour.RED,
            Size.SMALL,
            uuid.uuid4(),
            decimal.Decimal(1),
            dt.datetime(2024, 1, 1),  # noqa: DTZ001 - naive on purpose
            dt.date(2024, 1, 1),
            Inner(1),
            Plain(1),
            Pair(1, "x"),
            OrderedDict(a=1),
            bytearray(b"x"),
            {"a": [{"b": bytearray(b"x")}]},
        ],
    )
    def test_in_an_untyped_field(self, value: Any) -> None:
        with pytest.raises(PayloadError) as caught:
            codec.encode(Loose(value), LIMIT)
        assert str(caught.value).startswith("Loose.value: ")
        assert "would come back as" in str(caught.value)

    @pytest.mark.case("DSP-14")
    def test_in_one_that_says_object(self) -> None:
        assert round_trip(LooseObject([1, None], {"a": 2.5})) == LooseObject([1, None], {"a": 2.5})
        with pytest.raises(PayloadError, match=r"LooseObject\.value: .* would come back as"):
            codec.encode(LooseObject((1, 2)), LIMIT)
        with pytest.raises(PayloadError, match=r"LooseObject\.named: .* cannot be stored"):
            codec.encode(LooseObject(1, {"a": object()}), LIMIT)

    def test_deep_inside_a_typed_one(self) -> None:
        with pytest.raises(PayloadError, match=r"LooseInside\.inner: .* would come back as"):
            codec.encode(LooseInside(Inner(1, (1, 2))), LIMIT)
        with pytest.raises(PayloadError, match=r"LooseInside\.listed: .* would come back as"):
            codec.encode(LooseInside(Inner(1), [(1,)]), LIMIT)

    def test_in_a_typed_one(self) -> None:
        with pytest.raises(
            PayloadError, match=r"WithOneField\.value: \[1\] would come back as \{1"
        ):
            codec.encode(class_with(set[int])([1]), LIMIT)

    def test_a_sequence_comes_back_as_one(self) -> None:
        assert round_trip(Typed(listed=(1, math.nan))).listed[0] == 1
        assert round_trip(Typed()).listed == []
        assert round_trip(class_with(tuple[int, ...])((1, 2))).value == (1, 2)

    def test_an_unset_field_stays_unset(self) -> None:
        class Unset(Job, replace=True):
            value: int | msgspec.UnsetType = msgspec.UNSET

        assert round_trip(Unset()).value is msgspec.UNSET
        assert round_trip(Unset(5)).value == 5

    def test_a_subclass_that_would_lose_its_fields(self) -> None:
        class More(Inner):
            extra: int = 0

        with pytest.raises(PayloadError, match=r"LooseInside\.inner"):
            codec.encode(LooseInside(More(1, None, 5)), LIMIT)

    def test_what_the_type_converts_is_the_same_value(self) -> None:
        assert round_trip(Typed(ratio=1, number=Size.LARGE, listed=[1, 2])) == Typed(
            ratio=1.0, number=2, listed=[1.0, 2.0]
        )

    def test_nan_is_the_same_as_itself(self) -> None:
        for value in (math.nan, [math.nan], {"a": math.nan}):
            assert repr(round_trip(Loose(value)).value) == repr(value)
        assert math.isnan(round_trip(Typed(ratio=math.nan)).ratio)
        assert math.isnan(round_trip(LooseInside(Inner(1, math.nan))).inner.anything)
        assert math.isnan(round_trip(class_with(Plain)(Plain(math.nan))).value.ratio)

    def test_long_values_are_shortened(self) -> None:
        with pytest.raises(PayloadError) as caught:
            codec.encode(Loose(tuple(range(10_000))), LIMIT)
        assert len(str(caught.value)) < 400


class TestRefused:
    @pytest.mark.case("DSP-14")
    @pytest.mark.parametrize(
        "value",
        [object(), lambda: None, 2**64, -(2**63) - 1, "\ud800", {"a": object()}, [1j], Exception],
    )
    def test_job_and_field_are_named(self, value: Any) -> None:
        with pytest.raises(PayloadError) as caught:
            codec.encode(Loose(value), LIMIT)
        assert str(caught.value).startswith(f"Loose.value: a {type(value).__qualname__} cannot")
        assert "Store an id" in str(caught.value)

    @pytest.mark.parametrize(
        ("job", "path"),
        [
            (Typed(number="5"), "number"),
            (Typed(number=True), "number"),
            (Typed(text=b"x"), "text"),
            (Typed(listed=[1, "x"]), "listed"),
            (LooseInside(Inner("x")), "inner.number"),
        ],
    )
    def test_values_of_another_type_are_refused(self, job: Any, path: str) -> None:
        """Decoding is strict, so what it would refuse is never stored."""
        with pytest.raises(PayloadError) as caught:
            codec.encode(job, LIMIT)
        assert str(caught.value).startswith(f"{type(job).__job_name__}: Expected")
        assert f"$.{path}" in str(caught.value)

    def test_nesting_without_end(self) -> None:
        for depth in (100, 500, 900, 1000, 5000, 100_000):
            value: Any = []
            for _ in range(depth):
                value = [value]
            try:
                assert round_trip(Loose(value)).value is not None
            except PayloadError as error:
                assert "Loose" in str(error)  # noqa: PT017 - either is right, a crash is not
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(PayloadError, match="Loose"):
            codec.encode(Loose(endless), LIMIT)

    def test_too_large(self) -> None:
        """PayloadTooLarge names size and limit; the limit itself still fits."""
        size = len(codec.encode(Loose("x" * 1000), LIMIT))
        assert codec.encode(Loose("x" * 1000), size)
        with pytest.raises(PayloadTooLarge) as caught:
            codec.encode(Loose("x" * 1000), size - 1)
        assert f"Loose: {size:,} bytes is over max_payload, {size - 1:,}" in str(caught.value)
