"""What most tests start from: a hand-moved clock, a queue on every driver, a worker, a recorder."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest

from asyncqueue import Queue, Worker
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.registry import default_registry
from asyncqueue.testing import Clock

from .recorder import PATIENCE, Recorder
from .servers.databases import (
    new_postgres_schema,
    postgres_model,
    postgres_schema,
    postgres_schemas,
    postgres_server,
    postgres_url,
)
from .servers.fixtures import (
    own_redis,
    redis_cluster_server,
    redis_prefix,
    redis_server,
    redis_url,
)
from .servers.memory import in_memory

__all__ = [
    "new_postgres_schema",
    "own_redis",
    "postgres_model",
    "postgres_schema",
    "postgres_schemas",
    "postgres_server",
    "postgres_url",
    "redis_cluster_server",
    "redis_prefix",
    "redis_server",
    "redis_url",
]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from asyncqueue import Driver

SHARDS: Final = "ASYNCQUEUE_TEST_REDIS_SHARDS"
"""Over how many shards behaviour tests spread jobs in Redis; a few rely on a strict order."""
# How long an example takes says how busy the machine is, not how good the code.
hypothesis.settings.register_profile("asyncqueue", deadline=None)
hypothesis.settings.load_profile("asyncqueue")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the files of tests in memory where it has a place for files: a disk is waited for.

    They are gone after the run. Give ``--basetemp`` to have them elsewhere, and to keep them.
    """
    is_told = config.option.basetemp is not None  # By the caller, or to a process of xdist.
    if not is_told and (memory := in_memory()) is not None:
        folder = tempfile.mkdtemp(prefix="asyncqueue-tests-", dir=memory)
        config.option.basetemp = folder
        config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Processes for ``-n auto``: one more for every two cores, as tests wait for servers and time.

    Those that kill and stop real processes have the cores for themselves.
    """
    if (
        config.option.markexpr in ("faults", "hunts")
        or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ
    ):
        return None  # What xdist would take.
    spared = getattr(os, "sched_getaffinity", None)  # Not all systems tell.
    cores = len(spared(0)) if spared else os.cpu_count() or 1
    return cores + (cores + 1) // 2


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: let nobody look through it for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that proves a case proves nothing when it skips itself: that is a failure."""
    report = yield
    marks = {mark.name for mark in item.iter_markers()}
    if report.skipped and "case" in marks and not marks & {"skipif", "partial"}:
        report.outcome = "failed"
        report.longrepr = f"It is to prove a case, and was skipped: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests were skipped, once for each reason; ``-ra`` says so once for each place."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped, and why")
        for reason, tests in reasons.most_common():
            terminalreporter.line(f"{tests:5} {reason}")


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Job classes of one test are unknown to the next; but not those of modules that it loaded."""
    makers, modules = default_registry._makers, set(sys.modules)
    before = dict(makers)
    yield
    for name in makers.keys() - before.keys():
        if makers[name].__module__ in modules:
            del makers[name]
    makers.update(before)


def _postgres(request: pytest.FixtureRequest, clock: Clock) -> Driver:
    place = request.getfixturevalue("postgres_schema")
    return PostgresDriver(place.dsn, schema=place.name, clock=clock)


def _redis(request: pytest.FixtureRequest, clock: Clock) -> Driver:
    prefix, shards = request.getfixturevalue("redis_prefix"), int(os.environ.get(SHARDS, "1"))
    url = request.getfixturevalue("redis_url")
    return RedisDriver(url, prefix=prefix, shards=shards, clock=clock)


def _sqlite(request: pytest.FixtureRequest, clock: Clock) -> Driver:
    return SqliteDriver(request.getfixturevalue("tmp_path") / "queue.db", clock=clock)


DRIVERS: dict[str, Callable[[pytest.FixtureRequest, Clock], Driver]] = {
    "memory": lambda _request, clock: MemoryDriver(clock=clock),
    "postgres": _postgres,
    "redis": _redis,
    "sqlite": _sqlite,
}
"""Every driver that the behaviour tests run on."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=sorted(DRIVERS))
def driver(request: pytest.FixtureRequest, clock: Clock) -> Driver:
    return DRIVERS[request.param](request, clock)


@pytest.fixture
async def make_queue(driver: Driver) -> AsyncIterator[Callable[..., Queue]]:
    """Queues on ``driver``; whatever still runs on them is stopped after the test."""
    queues: list[Queue] = []

    def make(on: Driver = driver, **options: Any) -> Queue:
        queues.append(Queue(on, **options))
        return queues[-1]

    yield make
    # A test that failed may have left a worker that waits for a clock.
    async with asyncio.timeout(4 * PATIENCE):
        for queue in queues:
            await queue.close()
            await queue.driver.close()
        await driver.close()


@pytest.fixture
async def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue()


@pytest.fixture
def make_worker(queue: Queue) -> Callable[..., Worker]:
    """Workers that look often and log to ``tests.worker``, on ``queue`` unless told."""

    def make(queues: Any = None, *, on: Queue = queue, **options: Any) -> Worker:
        options.setdefault("poll_interval", 0.01)
        options.setdefault("logger", logging.getLogger("tests.worker"))
        return Worker(on, queues, **options)

    return make


@pytest.fixture
def events(queue: Queue) -> Recorder:
    """Everything that ``queue`` and its workers say."""
    return Recorder(queue)
