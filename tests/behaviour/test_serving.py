"""Workers beside each other, within an application, and on stores that ring nobody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time

import pytest

from asyncqueue import Context, Job, JobFailed, JobProcessed, Queue, State, Worker
from asyncqueue.clock import SYSTEM_CLOCK
from asyncqueue.testing import Clock

from ..drivers.minimal import MinimalDriver
from ..recorder import PATIENCE, Recorder, until


class Crowd:
    """How many jobs of each queue run at once."""

    def __init__(self):
        self.now = {}
        self.most = {}
        self.gate = asyncio.Event()

    async def join(self, name):
        self.now[name] = self.now.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.now[name])
        await self.gate.wait()
        self.now[name] -= 1


def quick(**options):
    class Quick(Job, replace=True, **options):
        async def handle(self, ctx: Context) -> str:
            return "ran"

    return Quick


@pytest.mark.case("WRK-05")
async def test_workers_on_different_queues_keep_to_their_own(queue, make_worker, events):
    crowd = Crowd()

    class Joins(Job):
        async def handle(self, ctx: Context) -> None:
            await crowd.join(ctx.queue)

    for name in ("emails", "default"):
        await queue.dispatch_many([Joins() for _ in range(8)], queue=name)
    emails, default = make_worker("emails", concurrency=3), make_worker("default", concurrency=5)
    async with emails, default:
        await until(lambda: crowd.now == {"emails": 3, "default": 5})
        assert (emails.busy, default.busy) == (3, 5)
        crowd.gate.set()
        await events.wait_for(JobProcessed, 16)
    assert crowd.most == {"emails": 3, "default": 5}
    assert emails.totals == default.totals == {State.COMPLETED: 8}


@pytest.mark.case("WRK-29", "SHD-18")
async def test_a_worker_lives_as_long_as_its_application(queue, driver, make_worker):
    """A lifespan, as web frameworks have it."""

    @contextlib.asynccontextmanager
    async def lifespan():
        async with queue, make_worker():
            yield

    tasks = asyncio.all_tasks()
    async with lifespan():
        assert await (await queue.dispatch(quick()())).result(PATIENCE) == "ran"
        (live,) = await queue.workers()
        assert live.concurrency == 10
        names = {task.get_name() for task in asyncio.all_tasks() - tasks}
        assert {"asyncqueue-sweeper", "asyncqueue-pruner", "asyncqueue-consumer"} <= names
    await driver.close()  # Which was open before, and may have loops of its own.
    left = {task.get_name() for task in asyncio.all_tasks() - tasks}
    assert not [name for name in left if name.startswith("asyncqueue")]
    assert "asyncqueue-heartbeat" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.case("WRK-30")
@pytest.mark.parametrize("interval", [0.05, 0.3])
async def test_a_job_on_a_store_without_wake_ups_starts_with_the_next_look(interval):
    queue = Queue(MinimalDriver(SYSTEM_CLOCK))
    async with queue, Worker(queue, poll_interval=interval):
        await asyncio.sleep(0.02)  # It has looked, and waits.
        began = time.monotonic()
        await (await queue.dispatch(quick()())).result(PATIENCE)
        # The result is asked for in rounds as well.
        assert time.monotonic() - began < interval + 2


@pytest.mark.case("DRV-20", "TRC-06")
async def test_jobs_run_are_retried_and_fail_on_the_smallest_driver():
    clock = Clock()
    queue = Queue(MinimalDriver(clock))
    events = Recorder(queue)

    class Breaks(Job, max_attempts=2, backoff=0):
        async def handle(self, ctx: Context) -> str:
            raise ValueError(ctx.attempt)

    async with queue, Worker(queue, poll_interval=0.01, logger=logging.getLogger("tests")):
        assert await (await queue.dispatch(quick()())).result(PATIENCE) == "ran"
        broken = await queue.dispatch(Breaks())
        await events.wait_for(JobFailed)
        assert (await queue.failed.get(broken.id)).error == "ValueError: 2"
    assert events.of_jobs().count("JobRetrying") == 1


# Where a worker logs


@pytest.fixture
def breaking():
    class Breaks(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise ValueError("broken")

    return Breaks


@pytest.mark.case("WRK-09")
async def test_everything_goes_to_the_workers_logger(queue, events, breaking, caplog, capsys):
    caplog.set_level(logging.INFO)
    await queue.dispatch(breaking())
    worker = Worker(queue, logger=logging.getLogger("mine"))
    async with worker:
        await events.wait_for(JobFailed)
    said = {record.name: [] for record in caplog.records}
    for record in caplog.records:
        said[record.name].append(record.getMessage())
    assert "asyncqueue.worker" not in said
    mine = said["mine"]
    assert any("started on default" in line for line in mine)
    assert any("failed for good: ValueError: broken" in line for line in mine)
    assert mine[-1] == f"Worker {worker.id} ended"
    assert capsys.readouterr().err == ""


@pytest.fixture
def without_handlers():
    """Logging as it is when nobody has set it up."""
    root = logging.getLogger()
    kept, root.handlers = root.handlers, []
    yield
    root.handlers = kept


@pytest.mark.case("WRK-10")
async def test_without_a_logger_errors_are_on_stderr_with_one_warning(
    queue, events, breaking, without_handlers, capsys
):
    async with Worker(queue):
        for count in (1, 2):
            await queue.dispatch(breaking())
            await events.wait_for(JobFailed, count)
    said = capsys.readouterr().err
    assert said.count("no logger is set") == 1
    assert said.count("ValueError: broken\n") >= 2
    assert said.index("no logger is set") < said.index("ValueError")
