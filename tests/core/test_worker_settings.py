"""From settings to a worker: what nobody says otherwise is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Job, Queue, Settings, Worker, fixed
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.testing import Clock, drain

if TYPE_CHECKING:
    from asyncqueue.registry import Registry

pytestmark = pytest.mark.usefixtures("clean_environment")


def in_force(worker: Worker) -> dict[str, Any]:
    """What a worker keeps to."""
    defaults, timing = worker.defaults, worker.timing
    return {
        "queues": worker.queues,
        "slots": worker.concurrency,
        "poll_interval": timing.poll_interval,
        "max_attempts": defaults.max_attempts,
        "backoff": defaults.backoff,
        "timeout": defaults.timeout,
    }


@pytest.mark.case("CFG-11")
def test_every_setting_reaches_the_driver_or_the_worker() -> None:
    settings = Settings(
        driver="redis",
        redis_host="cache",
        redis_port=7000,
        redis_db=2,
        redis_password="s3cret",
        prefix="shop",
        default="work",
        max_attempts=4,
        retry_delay=7,
        timeout=60,
        workers=5,
        poll_interval=2,
        lease=90,
        grace=10,
        cleanup_interval=60,
        failed_retention=120,
        retention=30,
        recovery=False,
    )
    queue = Queue(settings=settings)
    assert queue.driver.name == "redis"
    assert queue.driver.location() == "redis://cache:7000/2"
    worker = Worker(queue, max_jobs=100)
    assert in_force(worker) == {
        "queues": ["work"],
        "slots": 5,
        "poll_interval": 2,
        "max_attempts": 4,
        "backoff": fixed(7),
        "timeout": 60,
    }
    timing = worker.timing
    assert (timing.lease, timing.grace, timing.cleanup_interval) == (90, 10, 60)
    assert (timing.failed_retention, timing.recovery) == (120, False)
    assert worker.defaults.retention == 30
    assert worker.limits.max_jobs == 100


@pytest.mark.case("CFG-08", "CFG-09")
def test_the_environment_reaches_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = in_force(Worker(Queue.from_env()))
    assert (plain["poll_interval"], plain["slots"]) == (0.1, 10)
    for name, text in {
        "MAX_ATTEMPTS": "2",
        "RETRY_DELAY": "7",
        "TIMEOUT": "5",
        "POLL_INTERVAL": "2",
        "WORKERS": "3",
        "DEFAULT": "work",
    }.items():
        monkeypatch.setenv(f"QUEUE_{name}", text)
    assert in_force(Worker(Queue.from_env())) == {
        "queues": ["work"],
        "slots": 3,
        "poll_interval": 2,
        "max_attempts": 2,
        "backoff": fixed(7),
        "timeout": 5,
    }


@pytest.mark.case("CFG-10", "WRK-22")
def test_an_option_of_the_worker_outranks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_TIMEOUT", "20")
    monkeypatch.setenv("QUEUE_POLL_INTERVAL", "9")
    monkeypatch.setenv("QUEUE_WORKERS", "9")
    worker = Worker(Queue.from_env(), timeout=300, poll_interval=2, max_jobs=100)
    assert (worker.defaults.timeout, worker.timing.poll_interval) == (300, 2)
    assert worker.limits.max_jobs == 100
    assert worker.concurrency == 9
    assert Worker(Queue.from_env(), concurrency=2).concurrency == 2
    monkeypatch.delenv("QUEUE_WORKERS")
    assert Worker(Queue.from_env()).concurrency == 10


@pytest.mark.case("CFG-16")
def test_a_worker_that_says_nothing_has_what_its_queue_says() -> None:
    queue = Queue(settings=Settings(default="default", poll_interval=5, max_attempts=4))
    had = in_force(Worker(queue))
    assert (had["queues"], had["poll_interval"], had["max_attempts"]) == (["default"], 5, 4)


@pytest.mark.case("WRK-17")
def test_all_options_of_a_worker_together() -> None:
    worker = Worker(
        Queue("memory://"),
        ["default", "emails"],
        concurrency=4,
        poll_interval=3,
        max_attempts=3,
        backoff=30,
        timeout=60,
    )
    assert in_force(worker) == {
        "queues": ["default", "emails"],
        "slots": 4,
        "poll_interval": 3,
        "max_attempts": 3,
        "backoff": fixed(30),
        "timeout": 60,
    }


@pytest.mark.case("CFG-08", "CFG-17")
@pytest.mark.parametrize(("text", "seconds"), [("7", 7), ("1000ms", 1)])
async def test_jobs_wait_as_long_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, own_registry: Registry, text: str, seconds: float
) -> None:
    monkeypatch.setenv("QUEUE_RETRY_DELAY", text)
    monkeypatch.setenv("QUEUE_MAX_ATTEMPTS", "2")

    class Breaks(Job):
        async def handle(self, ctx: Any) -> None:
            raise ValueError

    clock = Clock()
    queue = Queue(MemoryDriver(clock=clock), settings=Settings.from_env(), registry=own_registry)
    handle = await queue.dispatch(Breaks())
    assert (await drain(queue)).retried == 1
    info = await handle.status()
    assert (info.available_at - clock.now()).total_seconds() == seconds
    clock.advance(seconds)
    assert (await drain(queue)).failed == 1
