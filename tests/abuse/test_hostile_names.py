"""Names made up to do harm: kinds are looked up and nothing else, everything else is data."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from asyncqueue import (
    ConfigError,
    Context,
    DuplicateJob,
    Job,
    JobFailedError,
    JobTimeout,
    Queue,
    Registry,
    Settings,
)
from asyncqueue.callbacks import callbacks
from asyncqueue.record import Filter, Record, State
from asyncqueue.testing import drain

if TYPE_CHECKING:
    from pathlib import Path

ran: list[str] = []
SQL = [
    *("jobs; DROP TABLE jobs", "jobs--", 'jobs"', "jobs'", "jobs`", "jobs/**/", "jobs)", "(jobs"),
    *("jobs x", "jo\nbs", "jo\tbs", "jobs\x00", "1jobs", "-", "jobs-1", "jöbs", "jobs\u202e"),
    *("jobs\u200b", "a.b.c", "a..b", ".jobs", "jobs.", "pg_catalog.jobs.x", "$jobs", "*", "jobs:1"),
    *("{jobs}", "{slot}x", "jobs%s", "%(x)s", "?", "j" * 64, "\uff4aobs", "jobs\\", "@jobs"),
]
"""What no table and no prefix may be called; space around a setting is dropped."""
KINDS = [
    *("os.system", "builtins.exec", "__import__", "builtins.__import__", "subprocess.Popen"),
    *("asyncqueue.job.Job", "Job", "object", "type", "hostiletarget", "HOSTILETARGET"),
    *("HostileTarget ", "HostileTarge\u0442", "Hostile\u200bTarget", "HostileTarget\x00", "handle"),
    *("../HostileTarget", "HostileTarget/..", "HostileTarget()", "lambda: 0", "x" * 5000, "*", "."),
]
DATA = [
    "'; DROP TABLE jobs; --",
    '"; DELETE FROM jobs; --',
    "a{b}c",
    "} redis.call('FLUSHALL') --",
    "a\r\nFLUSHALL\r\n",
    "a\x1b[2Jb",
    "%s%n%x",
    "$(reboot)",
    "\u202eevil",
    "q:1:2",
    "<script>alert(1)</script>",
    "日本語 🙈",
    "a" * 190,
]
"""What queues, keys and ids may be called: it is stored, and does nothing."""
CURSORS = [
    *("", " ", "/", "//", "1/", "/1", "1/2", "1/2/3", "-1", "+1", "1_0", "0x10", "1e3", "1.5"),
    *(f"-{'9' * 40}", f"1/-{'9' * 40}", f"-{'9' * 40}/1"),
    *("nan", "inf", "-inf", "nan/nan", "inf/1", "1e999", "9" * 40, "9" * 400, "1" * 100_000),
    *("\u0663", "1\x00", "\x00", "1\n2", "'; DROP TABLE jobs; --", "1 OR 1=1", "{jobs}", "%s"),
    *("\udc80", "null", "[]", "1,2", "*", "../1", "\u202e1"),
]
"""Where a listing goes on is told by whoever asks for more of it: it may come from a browser."""


class HostileTarget(Job):
    text: str = ""

    async def handle(self, ctx: Context) -> None:
        ran.append(ctx.job_id)


class HostileUnique(Job, unique=lambda job: job.text):
    text: str

    async def handle(self, ctx: Context) -> None:
        ran.append(ctx.job_id)


@pytest.mark.parametrize("field", ["table", "failed_table", "prefix"])
@pytest.mark.parametrize("name", SQL)
def test_identifiers_are_refused(field: str, name: str):
    with pytest.raises((ConfigError, ValueError)):
        Queue(settings=Settings(url="sqlite:///x.db", **{field: name}))


async def test_a_kind_is_looked_up_and_nothing_else(make_queue, tmp_path: Path):
    ran.clear()
    canary = tmp_path / "canary"
    queue = make_queue()
    good = await queue.dispatch(HostileTarget("x"))
    stored = (await queue.driver.find(_ids(good.id))).items[0].payload
    records = [
        Record(f"bad-{n}", "default", kind, stored.replace(b"x", b"y"))
        for n, kind in enumerate(KINDS)
    ]
    for record in records:
        # Postgres stores no such text.
        with contextlib.suppress(*[Exception] if "\x00" in record.name else []):
            await queue.driver.enqueue([record])
    await drain(queue)
    folded = {f"bad-{n}" for n, kind in enumerate(KINDS) if kind.strip() == "HostileTarget"}
    assert set(ran) - {good.id} <= folded, "something ran that was not named exactly so"
    assert not canary.exists()
    failed = await queue.failed.list(limit=100)
    assert {one.id for one in failed.items} | set(ran) >= {
        record.id for record in records if "\x00" not in record.name
    }
    assert {one.error.partition(":")[0] for one in failed.items} == {"UnknownJob"}


def test_kinds_that_differ_only_in_their_package_collide():
    registry = Registry()

    class HostileA(Job, replace=True): ...

    class HostileB(Job, replace=True): ...

    registry.register("one.Pay", HostileA)
    with pytest.raises(DuplicateJob):
        registry.register("two.Pay", HostileB)


@pytest.mark.parametrize("text", DATA)
async def test_data_does_nothing(text: str, make_queue):
    ran.clear()
    queue = make_queue()
    bystander = await queue.dispatch(HostileTarget("x"), queue="bystanders")
    job_id = text.replace("\x00", "")
    try:
        handle = await queue.dispatch(HostileUnique(text), queue=text, id=job_id)
    except ValueError:
        return  # Refused outright.
    again = await queue.dispatch(HostileUnique(text), queue=text)
    assert again.duplicate
    assert (await queue.status(handle.id)).queue == text
    await drain(queue)
    assert sorted(ran) == sorted([bystander.id, handle.id])
    status = await queue.status(bystander.id)
    assert status.state == State.COMPLETED


@pytest.mark.parametrize("what", ["jobs", "failed"])
async def test_a_cursor_is_one_or_is_refused(what: str, make_queue):
    """With no error but ours, and no line of the store in it; what is listed stays a page."""
    ran.clear()
    queue = make_queue()
    await queue.dispatch_many([HostileTarget(str(n)) for n in range(5)])
    await drain(queue)
    read = 0
    for cursor in CURSORS:
        if what == "jobs":
            asked = queue.jobs(limit=2, cursor=cursor)
        else:
            asked = queue.driver.find(Filter(), limit=2, cursor=cursor, order="finished")
        (page,) = await asyncio.gather(asked, return_exceptions=True)
        if isinstance(page, BaseException):
            assert type(page) is ValueError, (cursor, page)
            assert "is not a cursor of this listing" in str(page)
        else:
            read += 1
            assert len(page.items) <= 2
    assert read < len(CURSORS) / 2
    assert len((await queue.jobs()).items) == 5


def _ids(job_id: str):
    return Filter(ids=(job_id,))


def test_errors_are_rebuilt_from_their_text_alone():
    assert type(callbacks.error("none", "JobTimeout: late")) is JobTimeout
    for text in ("PartlyUnavailable: gone", "os: x", "__builtins__: x", "annotations: x", ""):
        assert type(callbacks.error("none", text)) is JobFailedError
