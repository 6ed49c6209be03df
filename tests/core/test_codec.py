"""Jobs to bytes and back."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncqueue import codec
from asyncqueue.backoff import exponential
from asyncqueue.errors import PayloadError
from asyncqueue.job import Job
from asyncqueue.trace import Trace
from tests.core.payloads import (
    KINDS,
    LIMIT,
    Inner,
    Loose,
    LooseInside,
    Pair,
    Typed,
    class_with,
    only,
    round_trip,
)

if TYPE_CHECKING:
    from nowhere import Absent


def alike(one: Any, other: Any) -> bool:
    """Equal and of the same types, NaN included."""
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


class TestRoundTrip:
    @pytest.mark.case("DRV-08", "REG-04")
    @pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
    @settings(max_examples=25)
    @given(data=st.data())
    def test_every_type_that_msgspec_carries(self, kind: Any, values: Any, data: Any) -> None:
        """What is dispatched comes back, or is refused; here none is."""
        cls = class_with(kind)
        sent = cls(data.draw(values))
        got = round_trip(sent)
        assert alike(got.value, sent.value)

    def test_nothing_is_shared_with_the_callers_object(self) -> None:
        inner = Inner(1, [1])
        sent = LooseInside(inner, [[1]])
        stored = codec.encode(sent, LIMIT)
        inner.anything.append(2)
        sent.listed[0].append(2)
        got = codec.decode("Loose", codec.open_envelope("x", stored), only("Loose", LooseInside))
        assert got == LooseInside(Inner(1, [1]), [[1]])

    def test_an_instant_stays_the_same_instant(self) -> None:
        cls = class_with(dt.datetime)
        zone = dt.timezone(dt.timedelta(hours=2))
        sent = cls(dt.datetime(2024, 1, 1, 9, tzinfo=zone))
        assert round_trip(sent).value == sent.value

    @pytest.mark.parametrize(
        "keywords",
        [{"array_like": True}, {"tag": True}, {"rename": "camel"}, {"omit_defaults": True}],
    )
    def test_every_layout_of_msgspec(self, keywords: dict[str, Any]) -> None:
        cls: Any = type(Job)(
            "Layout",
            (Job,),
            {"__annotations__": {"first_one": int, "b": str}, "b": "x"},
            replace=True,
            **keywords,
        )
        assert round_trip(cls(1)) == cls(1, "x")


class TestByName:
    def test_fields_of_a_class_are_checked(self) -> None:
        payload = codec.encode_fields("Typed", {"number": 5}, Typed, LIMIT)
        assert payload == codec.encode(Typed(5), LIMIT)

    @pytest.mark.case("DSP-14")
    @pytest.mark.parametrize(
        ("fields", "part"),
        [
            ({"nmber": 5}, 'no field "nmber". Did you mean "number"?'),
            ({"number": "5"}, "$.number"),
            ({1: 5}, 'no field "1"'),
            ([5], "must be a dict"),
            ("x", "must be a dict"),
            (None, "must be a dict"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, fields: Any, part: str) -> None:
        with pytest.raises(PayloadError) as caught:
            codec.encode_fields("Typed", fields, Typed, LIMIT)
        assert str(caught.value).startswith("Typed: ")
        assert part in str(caught.value)

    def test_a_missing_field_is_named(self) -> None:
        with pytest.raises(PayloadError, match="LooseInside: .*`inner`"):
            codec.encode_fields("LooseInside", {}, LooseInside, LIMIT)

    def test_an_array_like_class_takes_names_as_well(self) -> None:
        cls: Any = type(Job)(
            "Listed", (Job,), {"__annotations__": {"a": int}}, array_like=True, replace=True
        )
        assert codec.build("Listed", cls, {"a": 1}) == cls(1)

    def test_a_factorys_payload_is_only_encoded(self) -> None:
        def factory(payload: Any) -> Any: ...

        payload = codec.encode_fields("made", {"a": [1, "x"]}, factory, LIMIT)
        assert codec.to_builtins("x", payload) == {"a": [1, "x"]}
        with pytest.raises(PayloadError, match="made: .*object"):
            codec.encode_fields("made", {"a": object()}, factory, LIMIT)


class TestEnvelope:
    @pytest.mark.case("REG-13", "TRC-04")
    def test_absent_fields_take_no_bytes(self) -> None:
        assert msgspec.msgpack.decode(codec.encode(Loose(1), LIMIT)) == {
            "v": 1,
            "data": {"value": 1},
        }

    @pytest.mark.case("TRC-01")
    def test_what_is_given_travels(self) -> None:
        trace = Trace("a" * 32, "b" * 16, "c" * 16)
        stored = codec.encode(Loose(1), LIMIT, trace=trace, timeout=5.0, backoff=exponential(2))
        envelope = codec.open_envelope("Loose", stored)
        assert envelope.trace == trace
        assert (envelope.timeout, envelope.backoff) == (5.0, exponential(2))

    @pytest.mark.case("TRC-05")
    def test_old_ones_without_trace_are_read(self) -> None:
        stored = msgspec.msgpack.encode({"v": 1, "data": {"value": 1}})
        envelope = codec.open_envelope("Loose", stored)
        assert envelope.trace is None
        assert codec.decode("x", envelope, only("x", Loose)) == Loose(1)

    def test_fields_of_a_later_writer_are_ignored(self) -> None:
        stored = msgspec.msgpack.encode({"v": 1, "data": {"value": 1, "new": 2}, "batch": "b"})
        envelope = codec.open_envelope("Loose", stored)
        assert codec.decode("x", envelope, only("x", Loose)) == Loose(1)

    def test_another_version_is_refused(self) -> None:
        stored = msgspec.msgpack.encode({"v": 2, "data": {}})
        with pytest.raises(PayloadError, match="Loose: the stored job has format 2"):
            codec.open_envelope("Loose", stored)

    def test_it_can_be_shown_as_plain_values(self) -> None:
        assert codec.to_builtins("x", codec.encode(Typed(5), LIMIT)) == {
            "number": 5,
            "ratio": 0.0,
            "text": "",
            "listed": [],
        }
        with pytest.raises(PayloadError, match="x: the stored bytes are not a job"):
            codec.to_builtins("x", b"\xffgarbage")


class TestResults:
    def test_as_handle_declares_them(self) -> None:
        class Counting(Job, replace=True):
            async def handle(self, ctx: Any) -> Pair: ...

        stored = codec.encode_result("Counting", Pair(1, "x"))
        assert codec.decode_result("x", stored, Counting) == Pair(1, "x")
        assert isinstance(codec.decode_result("x", stored, Counting), Pair)

    def test_a_context_imported_for_checkers_only_does_no_harm(self) -> None:
        class Countless(Job, replace=True):
            async def handle(self, ctx: Absent) -> Pair: ...

        got = codec.decode_result("x", codec.encode_result("x", Pair(1, "x")), Countless)
        assert isinstance(got, Pair)

    def test_a_declaration_that_cannot_be_found_gives_plain_values(self) -> None:
        class Lost(Job, replace=True):
            async def handle(self, ctx: Any) -> Absent: ...

        assert codec.decode_result("x", codec.encode_result("x", Pair(1, "x")), Lost) == [1, "x"]

    def test_as_plain_values_without_a_declaration(self) -> None:
        stored = codec.encode_result("Loose", Pair(1, "x"))
        assert codec.decode_result("x", stored, Loose) == [1, "x"]
        assert codec.decode_result("x", stored, None) == [1, "x"]

    def test_as_plain_values_where_it_no_longer_fits(self) -> None:
        class Declared(Job, replace=True):
            async def handle(self, ctx: Any) -> int: ...

        assert codec.decode_result("x", codec.encode_result("x", "text"), Declared) == "text"

    def test_none_is_nothing(self) -> None:
        assert codec.encode_result("x", None) is None
        assert codec.decode_result("x", None, Loose) is None

    def test_one_that_cannot_be_stored_is_named(self) -> None:
        with pytest.raises(PayloadError, match=r"x: handle returned a object that cannot"):
            codec.encode_result("x", object())
