"""What a queue makes of its arguments, and what it refuses."""

from __future__ import annotations

import inspect
import logging
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

import asyncqueue
from asyncqueue import Job, Queue, QueueClosed, Trace, Worker, use_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.registry import Registry

pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.fixture
def note(own_registry: Registry) -> type[Job]:
    class Note(Job, max_attempts=1):
        async def handle(self, ctx: Any) -> None:
            raise ValueError("no paper")

    return Note


@pytest.fixture
def named(queue: Queue, own_registry: Registry) -> Queue:
    queue.registry = own_registry
    return queue


@pytest.mark.case("REG-02", "MID-03")
async def test_a_name_has_one_spelling_in_the_store(named: Queue, note: type[Job]) -> None:
    for spelling in ("*jobs.Note", "jobs.Note", "Note"):
        handle = await named.dispatch_named(spelling, {})
        assert (await handle.status()).name == "Note"
        assert len((await named.jobs(name=spelling, limit=100)).items) > 0
    assert len((await named.jobs(name="Note")).items) == 3


@pytest.mark.parametrize("at", ["2030-01-01T00:00:00Z", 1893456000, datetime(2030, 1, 1)])  # noqa: DTZ001
async def test_an_instant_is_an_aware_datetime(queue: Queue, note: type[Job], at: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^at"):
        await queue.dispatch(note(), at=at)
    assert await queue.size("default") == 0
    handle = await queue.dispatch(note(), at=datetime(2999, 1, 1, tzinfo=UTC))
    assert (await handle.status()).state == "delayed"


ASKED_WRONGLY: dict[str, Callable[[Queue], Awaitable[object]]] = {
    "size of nothing": lambda queue: queue.size(""),
    "size of None": lambda queue: queue.size(None),  # type: ignore[arg-type]
    "clear nothing": lambda queue: queue.clear(""),
    "pause nothing": lambda queue: queue.pause(""),
    "resume nothing": lambda queue: queue.resume(""),
    "pages of no jobs": lambda queue: queue.jobs(limit=0),
    "pages of less": lambda queue: queue.jobs(limit=-1),
    "pages of no failed": lambda queue: queue.failed.list(limit=0),
    "before the first": lambda queue: queue.failed.list(offset=-1),
    "older than later": lambda queue: queue.failed.prune(-1),
}


@pytest.mark.parametrize("ask", ASKED_WRONGLY.values(), ids=ASKED_WRONGLY)
async def test_what_cannot_be_meant_is_refused(
    queue: Queue, ask: Callable[[Queue], Awaitable[object]]
) -> None:
    with pytest.raises((TypeError, ValueError), match="got"):
        await ask(queue)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"settings": {"default": "emails"}}, "settings"),
        ({"middleware": [3]}, "middleware"),
        ({"middleware": 3}, "middleware"),
        ({"services": 3}, "services"),
        ({"services": "mailer"}, "services"),
    ],
)
def test_a_queue_names_what_it_cannot_be_built_with(wrong: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"^{named} must be .* got "):
        Queue("memory://", **wrong)


@pytest.mark.parametrize("wrong", [{"middleware": [3]}, {"services": 3}])
def test_a_worker_does_as_well(queue: Queue, wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be .* got "):
        Worker(queue, **wrong)


@pytest.mark.case("DEP-04")
async def test_services_may_be_any_mapping(named: Queue, own_registry: Registry) -> None:
    asked: list[object] = []

    class Ask(Job):
        async def handle(self, ctx: Any) -> None:
            asked.append(ctx.get("order_service"))

    await named.dispatch(Ask())
    services = MappingProxyType({"order_service": 7})
    await Worker(named, services=services, stop_when_empty=True).run()
    assert asked == [7]


@pytest.mark.case("SHD-19")
async def test_a_closed_queue_takes_not_even_nothing(queue: Queue) -> None:
    await queue.close()
    with pytest.raises(QueueClosed):
        await queue.dispatch_many([])


@pytest.mark.case("TRC-09")
async def test_the_log_line_of_a_failure_names_the_trace(
    named: Queue, note: type[Job], caplog: pytest.LogCaptureFixture
) -> None:
    """Job type, queue, job id and trace id."""
    trace_id = "ab" * 16
    with use_trace(Trace(trace_id, "cd" * 8, None)):
        handle = await named.dispatch(note(), queue="notes")
    logger = logging.getLogger("tests.trace")
    with caplog.at_level(logging.ERROR, logger.name):
        await Worker(named, ["notes"], stop_when_empty=True, logger=logger).run()
    [record] = caplog.records
    line = record.getMessage()
    assert all(part in line for part in ("Note", handle.id, "notes", trace_id, "no paper"))


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_a_text_that_not_every_store_can_hold_is_refused(
    queue: Queue, note: type[Job], text: str
) -> None:
    """A job that could be stored, but never claimed or found, is none."""
    for options in ({"queue": text}, {"id": text}):
        with pytest.raises(ValueError, match="zero bytes and surrogates"):
            await queue.dispatch(note(), **options)
    with pytest.raises(ValueError, match="zero bytes and surrogates"):
        await queue.size(text)


@pytest.mark.parametrize(
    "never", [{"delay": 1e300}, {"at": datetime.max.replace(tzinfo=UTC)}], ids=["delay", "at"]
)
async def test_a_job_for_the_end_of_time_can_be_shown(
    queue: Queue, note: type[Job], never: dict[str, Any]
) -> None:
    handle = await queue.dispatch(note(), **never)
    assert (await handle.status()).available_at.year == 9999
    assert [job.id for job in (await queue.jobs()).items] == [handle.id]


async def test_a_page_is_counted_in_whole_numbers(queue: Queue) -> None:
    for asked in (queue.jobs(limit="x"), queue.failed.list(limit=None), queue.jobs(limit=1.5)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="whole numbers"):
            await asked


@pytest.mark.parametrize("dispatching", ["dispatch", "dispatch_many", "dispatch_named"])
def test_the_signatures_show_every_option(dispatching: str) -> None:
    """What ``help`` and an editor show is what can be given."""
    options = {"queue", "delay", "at", "priority", "max_attempts", "timeout", "backoff"}
    options |= {"within", "after_commit"} | ({"id"} if dispatching != "dispatch_many" else set())
    for function in (getattr(Queue, dispatching), getattr(asyncqueue, dispatching)):
        shown = inspect.signature(function).parameters
        assert options <= shown.keys()
        assert all(shown[name].default is None for name in options)
