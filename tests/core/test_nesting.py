"""How deep stored bytes nest is known before anything decodes them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncqueue import codec, nesting
from asyncqueue.errors import PayloadError
from asyncqueue.nesting import DEEPEST, nests_too_deep

encode = msgspec.msgpack.encode
PADDING = b"\xdc\x02\x00" + b"\x91\x01" * 511  # Its last item follows: whatever is to be looked at.
OPENED = {
    "array": b"\x91",
    "second item": b"\x92\x01",
    "map": b"\x81\xa1k",
    "key": b"\x81",
    "long array": b"\xdc\x00\x01",
    "longer array": b"\xdd\x00\x00\x00\x01",
    "long map": b"\xde\x00\x01\x01",
    "longer map": b"\xdf\x00\x00\x00\x01\x01",
}


def nested(levels: int, opened: bytes) -> bytes:
    return opened * levels + b"\x90"


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
def test_so_many_levels_and_no_more(opened: bytes) -> None:
    assert not nests_too_deep(nested(DEEPEST, opened))
    assert nests_too_deep(nested(DEEPEST + 1, opened))
    assert not nests_too_deep(PADDING + nested(DEEPEST - 1, opened))
    assert nests_too_deep(PADDING + nested(DEEPEST, opened))


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
def test_a_bomb_of_a_million_bytes(opened: bytes) -> None:
    assert nests_too_deep(opened * (1024 * 1024 // len(opened)))


def test_many_lists_beside_each_other_are_not_deep() -> None:
    rows = [{"id": i, "tags": ["a", "b"], "at": [i / 7] * 40} for i in range(2000)]
    assert not nests_too_deep(encode(rows))
    assert not nests_too_deep(encode([[[]] * 70_000, {}] * 3))
    assert not nests_too_deep(encode([-(10**i) for i in range(19)] * 300))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=70)
    | st.binary(max_size=70)
    | st.builds(msgspec.msgpack.Ext, st.integers(0, 127), st.binary(max_size=20)),
    lambda inner: (
        st.lists(inner, max_size=36)
        | st.dictionaries(st.text(max_size=40) | st.tuples(st.integers(0, 9)), inner, max_size=20)
    ),
    max_leaves=60,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((max(depth_of(key), depth_of(value[key])) for key in value), default=-1)
    if isinstance(value, (list, tuple)):
        return 1 + max(map(depth_of, value), default=-1)
    return 0


@settings(max_examples=100)
@given(values, st.integers(0, 6), st.binary(max_size=3))
def test_the_walk_agrees_with_the_values(value: Any, deepest: int, rest: bytes) -> None:
    """An empty list or map is no level: nobody calls itself for what is in it."""
    packed = encode(value) + rest
    known = nesting.DEEPEST
    try:
        nesting.DEEPEST = deepest  # type: ignore[misc]
        assert nesting._nests(packed) == (depth_of(value) > deepest)
    finally:
        nesting.DEEPEST = known  # type: ignore[misc]


@settings(max_examples=100)
@given(values.map(encode), st.data())
def test_malformed_bytes_do_no_harm(packed: bytes, data: Any) -> None:
    damaged = bytearray(packed)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert not nests_too_deep(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@pytest.mark.parametrize("opened", [b"\x91", b"\x81\xa1k", b"\xdd\x00\x00\x00\x01"])
def test_nothing_decodes_a_bomb(opened: bytes) -> None:
    bomb = b"\x82\xa1v\x01\xa4data\x81\xa5value" + nested(200_000, opened)
    for take in (codec.open_envelope, codec.to_builtins, lambda *a: codec.decode_result(*a, None)):
        with pytest.raises(PayloadError, match="x: it nests deeper than 256 levels"):
            take("x", bomb)


# The interpreter's own bound is out of the way, and the stack a small one: whoever decodes dies.
IN_A_CORNER = """
import sys, threading
from asyncqueue import codec
from asyncqueue.errors import PayloadError

sys.setrecursionlimit(10**7)
threading.stack_size(256 * 1024)
told = []

def take():
    for opened in (b"\\x91", b"\\x81\\xa1k"):
        for levels in (codec.DEEPEST - 2, 10_000, 300_000):
            payload = b"\\x82\\xa1v\\x01\\xa4data\\x81\\xa1v" + opened * levels + b"\\x90"
            try:
                codec.to_builtins("x", payload)
                told.append("read")
            except PayloadError:
                told.append("refused")

thread = threading.Thread(target=take)
thread.start()
thread.join()
print(*told)
"""


def test_not_even_on_a_small_stack_without_a_limit() -> None:
    told = subprocess.run([sys.executable, "-c", IN_A_CORNER], capture_output=True, check=False)
    assert (told.returncode, told.stderr) == (0, b"")
    assert told.stdout.split() == [b"read", b"refused", b"refused"] * 2
