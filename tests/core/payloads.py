"""Jobs with fields of every type that can be stored, and values for them."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
from hypothesis import strategies as st

from asyncqueue import codec
from asyncqueue.job import Job
from asyncqueue.registry import Registry, default_registry

LIMIT = 1024 * 1024


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Inner(msgspec.Struct):
    number: int
    anything: Any = None


class Tagged(msgspec.Struct, tag=True):
    a: int


class Other(msgspec.Struct, tag=True):
    b: str


@dataclass
class Plain:
    ratio: float
    parts: list[int] = field(default_factory=list)


class Pair(NamedTuple):
    left: int
    right: str


class Movie(TypedDict):
    title: str
    year: int


class Loose(Job, name="codec.Loose"):
    value: Any = None


class LooseObject(Job, name="codec.LooseObject"):
    value: object = None
    named: dict[str, object] = {}  # noqa: RUF012 - msgspec copies it


class LooseInside(Job, name="codec.LooseInside"):
    inner: Inner
    listed: list[Any] = []  # noqa: RUF012 - msgspec copies it


class Typed(Job, name="codec.Typed"):
    number: int = 0
    ratio: float = 0.0
    text: str = ""
    listed: Sequence[float] = ()


def round_trip(job: Any, registry: Registry = default_registry) -> Any:
    name = type(job).__job_name__
    return codec.decode(name, codec.open_envelope(name, codec.encode(job, LIMIT)), registry)


def class_with(kind: Any) -> Any:
    namespace = {"__annotations__": {"value": kind}}
    return type(Job)("WithOneField", (Job,), namespace, replace=True)


numbers = st.integers(-(2**63), 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
utc = st.just(dt.UTC)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, numbers),
    (float, st.floats()),
    (str, texts),
    (bytes, st.binary(max_size=50)),
    (bytearray, st.binary(max_size=50).map(bytearray)),
    (dt.datetime, st.datetimes(timezones=utc)),
    (dt.datetime, st.datetimes()),  # naive ones stay naive
    (dt.date, st.dates()),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas(dt.timedelta(days=-9999999), dt.timedelta(days=9999999))),
    (uuid.UUID, st.uuids()),
    (decimal.Decimal, st.decimals(allow_nan=False)),
    (Colour, st.sampled_from(Colour)),
    (Size, st.sampled_from(Size)),
    (Literal["a", 1] | None, st.sampled_from(["a", 1, None])),
    (list[int], st.lists(numbers)),
    (tuple[int, str], st.tuples(numbers, texts)),
    (tuple[int, ...], st.lists(numbers).map(tuple)),
    (set[int], st.sets(numbers)),
    (frozenset[str], st.frozensets(texts)),
    (dict[str, float], st.dictionaries(texts, st.floats())),
    (dict[int, bytes], st.dictionaries(numbers, st.binary(max_size=5))),
    (dict[tuple[int, int], str], st.dictionaries(st.tuples(numbers, numbers), texts)),
    (int | None, st.none() | numbers),
    (int | str | list[float], numbers | texts | st.lists(st.floats())),
    (Annotated[int, msgspec.Meta(ge=0)], st.integers(0, 100)),
    (Inner, st.builds(Inner, numbers, plain)),
    (Tagged | Other, st.builds(Tagged, numbers) | st.builds(Other, texts)),
    (Plain, st.builds(Plain, st.floats(), st.lists(numbers))),
    (Pair, st.builds(Pair, numbers, texts)),
    (Movie, st.fixed_dictionaries({"title": texts, "year": numbers})),
    (list[Inner | None], st.lists(st.none() | st.builds(Inner, numbers, plain), max_size=4)),
    (Any, plain),
    (dict[str, Any], st.dictionaries(texts, plain, max_size=4)),
    (list[Any], st.lists(plain, max_size=4)),
]


def only(name: str, cls: Any) -> Registry:
    """A registry of one kind."""
    registry = Registry()
    registry.register(name, cls)
    return registry
