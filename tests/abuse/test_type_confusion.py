"""Fields of another type: nothing is coerced, nothing runs, and the path is told, not the value."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest

from asyncqueue import Context, Job, Queue, Registry
from asyncqueue.codec import encode
from asyncqueue.record import Record
from asyncqueue.testing import drain

CANARY = "c4n4ry"


class Colour(enum.Enum):
    RED = "red"


class Inner(msgspec.Struct):
    number: int


WHEN = datetime(2030, 1, 1, tzinfo=UTC)
SHAPES: dict[str, tuple[Any, Any, list[Any]]] = {
    "int": (int, 1, ["1", CANARY, 1.5, True, None, [1], {}]),
    "bool": (bool, True, ["true", 1, 0, None, CANARY]),
    "str": (str, "x", [1, None, [CANARY], b"x"]),
    "float": (float, 1.5, ["1.5", CANARY, None, True]),
    "bytes": (bytes, b"x", [1, None, [CANARY]]),
    "list": (list[int], [1], [[CANARY], CANARY, {"a": 1}, [1.5], None]),
    "dict": (dict[str, int], {"a": 1}, [{"a": CANARY}, [1], {1: 1}, None]),
    "tuple": (tuple[int, str], (1, "x"), [[1], [1, "x", CANARY], [CANARY, 1], None]),
    "set": (set[int], {1}, [[CANARY], CANARY, None]),
    "datetime": (datetime, WHEN, [CANARY, 1, None, "2030-13-01T00:00:00Z"]),
    "date": (date, date(2030, 1, 1), [CANARY, 1, None, "2030-02-30"]),
    "timedelta": (timedelta, timedelta(1), [CANARY, None, []]),
    "decimal": (Decimal, Decimal("1.5"), [CANARY, None, [], True]),
    "uuid": (UUID, UUID(int=1), [CANARY, 1, None]),
    "enum": (Colour, Colour.RED, ["blue", CANARY, 1, None]),
    "literal": (Literal["a", 1], "a", ["b", CANARY, 2, None]),
    "struct": (Inner, Inner(1), [{"number": CANARY}, {}, [1], None, CANARY]),
    "optional": (int | None, 1, ["1", CANARY, 1.5]),
    "nested": (list[dict[str, Inner]], [{"a": Inner(1)}], [[{"a": {"number": CANARY}}], [CANARY]]),
    "union": (int | str, 1, [1.5, [CANARY], None]),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_refused(shape: str):
    kind, right, wrongs = SHAPES[shape]
    ran: list[Any] = []

    async def handle(self, ctx: Context) -> None:
        ran.append(self.value)

    namespace = {"__annotations__": {"value": kind}, "handle": handle, "__module__": __name__}
    cls: Any = type(Job)("Confused", (Job,), namespace, replace=True)
    registry = Registry()
    registry.register("Confused", cls)
    queue = Queue("memory://", registry=registry)
    stored = encode(cls(right), 1_000_000)
    envelope = msgspec.msgpack.decode(stored)
    records = [Record("right", "default", "Confused", stored)]
    for number, wrong in enumerate(wrongs):
        data = msgspec.msgpack.encode({**envelope, "data": {"value": wrong}})
        records.append(Record(f"wrong-{number}", "default", "Confused", data))
    await queue.driver.enqueue(records)
    await drain(queue)
    assert ran == [right]
    failed = {one.id: one for one in (await queue.failed.list()).items}
    for number in range(len(wrongs)):
        record = failed[f"wrong-{number}"]
        assert record.error.startswith("PayloadError"), record.error
        assert "value" in record.error, "the path of the field is not told"
        assert CANARY not in record.error + record.traceback
        assert record.attempts == 1
    await queue.close()
