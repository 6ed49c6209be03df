"""The tables of the reference say what the code says."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import msgspec
import pytest

import asyncqueue
from asyncqueue import Batch, Chain, Context, Queue, Scheduler, Settings, Worker, errors, events
from asyncqueue.options import NAMES, JobOptions
from asyncqueue.queue.build import DispatchOptions
from asyncqueue.queue.failed import FailedStore
from asyncqueue.queue.handle import JobHandle
from asyncqueue.schedule import slots
from asyncqueue.schedule.firing import OVERLAP_LIMIT

from .pages import ROOT, code, prose, table

INTERNAL = {
    Queue: {"attach", "detach", "forked", "ready", "ready_to_write", "wait_finished"}
    | {"dispatch_batch", "dispatch_chain", "join_batch", "linked", "own_batch", "store_record"},
    Batch: {"plan"},
    Chain: {"catch_callback", "jobs", "queue_name"},
    Worker: {"torn_down"},
    Context: {"move_deadline"},
}
"""Names for other parts of asyncqueue, not for its users."""


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")} - INTERNAL.get(cls, set())


def called(cell: str) -> str:
    """``await stop(timeout=None)`` is ``stop``."""
    return code(cell).removeprefix("await ").removeprefix("Queue.").partition("(")[0]


def descendants(cls: type) -> list[type]:
    return [cls, *(sub for direct in cls.__subclasses__() for sub in descendants(direct))]


def settings_rows() -> list[list[str]]:
    rest = table("reference/settings.md", "Fields")
    text = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    later = re.findall(r"^\| (`QUEUE_\w+`) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return [*rest, *[list(row) for row in later if list(row) not in rest]]


def test_every_setting_is_there():
    documented = [code(row[0]).removeprefix("QUEUE_").lower() for row in settings_rows()]
    assert sorted(documented) == sorted(Settings.__struct_fields__)


@pytest.mark.parametrize("row", settings_rows(), ids=lambda row: row[0])
def test_the_default_of_a_setting(row: list[str]):
    default = getattr(Settings(), code(row[0]).removeprefix("QUEUE_").lower())
    shown = row[1].strip("`")
    if default in (None, ()):
        assert shown == "none"
    elif default == "":
        assert shown == "empty"
    elif isinstance(default, bool):
        assert shown == ("on" if default else "off")
    elif isinstance(default, (int, float)):
        assert float(shown) == default
    else:
        assert shown == default


def test_every_class_keyword_is_there():
    rows = table("reference/class-keywords.md", "Options")
    assert {code(row[0]) for row in rows} == NAMES | {"name", "replace"}
    for row in rows:
        default = getattr(JobOptions(), code(row[0]), None)
        if isinstance(default, (bool, str)):
            assert code(row[2]).strip('"') == str(default), row


def test_every_worker_option_is_there_with_its_default():
    parameters = dict(inspect.signature(Worker.__init__).parameters)
    del parameters["self"]
    rows = {code(row[0]): row[1] for row in table("reference/worker-options.md", "Options")}
    assert list(rows) == list(parameters)
    worker: Any = Worker(Queue("memory://"))
    actual = {
        "concurrency": worker.concurrency,
        "poll_interval": worker.timing.poll_interval,
        "timeout": worker.defaults.timeout,
        "max_attempts": worker.defaults.max_attempts,
        "lease": worker.timing.lease,
        "grace": worker.timing.grace,
        "drain_timeout": worker.timing.drain,
        "prefetch": worker.prefetch,
    }
    assert {name: float(rows[name]) for name in actual} == actual
    assert worker.defaults.backoff == asyncqueue.exponential(1, 300)
    for name in ("stop_when_empty", "unknown_jobs"):
        assert code(rows[name]).strip('"') == str(parameters[name].default)
    assert worker.timing.lease < math.inf


@pytest.mark.parametrize(
    ("page", "headings", "cls"),
    [
        ("reference/queue.md", ["Calls"], Queue),
        ("reference/queue.md", ["Failed jobs"], FailedStore),
        ("reference/worker-options.md", ["Calls"], Worker),
        ("reference/schedules.md", ["Calls"], Scheduler),
        ("reference/context.md", ["Facts", "Calls"], Context),
        ("reference/queue.md", ["Handles"], JobHandle),
        ("reference/queue.md", ["Batches"], Batch),
        ("reference/queue.md", ["Chains"], Chain),
    ],
)
def test_every_public_name_is_there(page: str, headings: list[str], cls: type):
    documented = {called(row[0]) for heading in headings for row in table(page, heading)}
    missing = public(cls) - documented
    assert not missing
    unknown = documented - public(cls)
    assert not unknown


def test_every_option_of_a_dispatch_is_there():
    documented = {code(row[0]) for row in table("reference/queue.md", "Options of a dispatch")}
    assert documented == {*DispatchOptions.__struct_fields__, "within", "after_commit"}


@pytest.mark.parametrize("page", ["reference/queue.md", "reference/schedules.md"])
def test_the_fields_of_answers(page: str):
    for row in table(page, "Answers"):
        struct: Any = getattr(asyncqueue, code(row[0]))
        assert code(row[1]).split(", ") == list(struct.__struct_fields__)


def test_the_numbers_of_schedules():
    numbers = [float(row[1]) for row in table("reference/schedules.md", "Numbers")]
    assert numbers == [slots.GRACE, slots.SKEW, slots.REMEMBERED, OVERLAP_LIMIT]


def test_every_event_is_there_with_its_fields():
    rows = {code(row[0]): row[2] for row in table("reference/events.md", "Types")}
    assert list(rows) == [cls.__name__ for cls in descendants(events.Event)]
    for cls in descendants(events.Event):
        fields = {field.name for field in msgspec.structs.fields(cls)}
        base = (
            {field.name for field in msgspec.structs.fields(cls.__mro__[1])}
            if (rows[cls.__name__].startswith("and ") or not rows[cls.__name__])
            else set()
        )
        said = set(code(rows[cls.__name__]).split(", ")) if rows[cls.__name__] else set()
        assert base | said == fields, cls.__name__


def test_every_error_is_there_with_its_base():
    rows = table("reference/errors.md", "Types")
    documented = {code(row[0]): code(row[1]) for row in rows}
    actual = {cls.__name__: cls.__mro__[1].__name__ for cls in descendants(errors.AsyncQueueError)}
    # Applications and tests may have subclasses of their own.
    assert documented == {name: base for name, base in actual.items() if hasattr(errors, name)}


def test_every_public_name_is_somewhere():
    text = "\n".join(prose(page) for page in (ROOT / "docs").rglob("*.md"))
    examples = (ROOT / "docs/examples").glob("*.py")
    text += "\n".join(path.read_text("utf-8") for path in examples)
    missing = [name for name in asyncqueue.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing
