"""Stored bytes that are no job of ours."""

from __future__ import annotations

import string
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncqueue import codec
from asyncqueue.errors import PayloadError, SignatureInvalid
from tests.core.payloads import (
    KINDS,
    LIMIT,
    Loose,
    LooseInside,
    Typed,
    class_with,
    numbers,
    only,
    texts,
)

packed = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(st.tuples(numbers), inner, max_size=2)
    ),
    max_leaves=8,
)
envelopes = st.fixed_dictionaries(
    {"v": st.just(1) | packed, "data": packed},
    optional={"trace": packed, "timeout": packed, "backoff": packed},
).map(msgspec.msgpack.encode)
TARGETS = [*(class_with(kind) for kind, _ in KINDS[-6:]), Typed, LooseInside, Loose]


def _loose(payload: Any) -> Any:
    return Loose(payload)


class TestGarbage:
    """Stored bytes are never trusted: only our own errors come out of them."""

    def consume(self, stored: bytes) -> None:
        try:
            envelope = codec.open_envelope("x", stored)
        except (PayloadError, SignatureInvalid) as error:
            assert str(error).startswith("x: ")  # noqa: PT017
            assert isinstance(error, PayloadError) or stored[:2] == b"\xc1\x01"  # noqa: PT017
            return
        try:
            codec.to_builtins("x", stored)
        except PayloadError as error:
            assert str(error).startswith("x: ")  # noqa: PT017
        for maker in (*TARGETS, _loose, lambda: Typed):
            try:
                codec.decode("x", envelope, only("x", maker))
            except PayloadError as error:
                assert str(error).startswith("x: ")  # noqa: PT017

    @settings(max_examples=300)
    @given(st.binary(max_size=60))
    def test_random_bytes(self, stored: bytes) -> None:
        self.consume(stored)

    @settings(max_examples=200)
    @given(envelopes)
    def test_well_formed_nonsense(self, stored: bytes) -> None:
        self.consume(stored)

    @settings(max_examples=200)
    @given(st.binary(max_size=40))
    def test_an_envelope_around_random_bytes(self, data: bytes) -> None:
        self.consume(b"\x82\xa1v\x01\xa4data" + data)

    @settings(max_examples=200)
    @given(st.data())
    def test_damaged_jobs(self, data: Any) -> None:
        stored = bytearray(codec.encode(Typed(5, 0.5, string.ascii_letters, [1.0]), LIMIT))
        for _ in range(data.draw(st.integers(1, 3))):
            stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
        self.consume(bytes(stored))

    @pytest.mark.parametrize(
        "data",
        [
            b"\x81\x80\x01",  # a map as a key
            b"\xa1\xff",  # text that is no UTF-8
            b"\xd7\xff" + b"\xff" * 8,  # an instant out of range
            b"\x91" * 100_000 + b"\x90",  # nested beyond any stack
            b"\xdd\xff\xff\xff\xff",  # a list that says it has 2**32 - 1 items
            b"\xc6\xff\xff\xff\xff",  # bytes that say so
            b"",
        ],
    )
    def test_known_traps(self, data: bytes) -> None:
        self.consume(data)
        self.consume(b"\x82\xa1v\x01\xa4data" + data)
        self.consume(b"\x82\xa1v\x01\xa4data\x81\xa5value" + data)
