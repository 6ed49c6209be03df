"""huey: threads and a list, popped before the job runs."""

from __future__ import annotations

import contextlib

from huey import RedisHuey

from benchmarks.peers import inside

huey = RedisHuey("jobs", url=inside.URL, results=False)


@huey.task(name="job")
def job(n: int, text: str) -> None:
    inside.handle_in_thread(n, text)


@contextlib.contextmanager
def producer():
    yield job


def fill(count: int) -> None:
    for n in range(count):
        job(n, inside.TEXT)


def work() -> None:
    consumer = huey.create_consumer(
        workers=inside.CONCURRENCY, periodic=False, initial_delay=0.001, check_worker_health=False
    )
    consumer.run()
