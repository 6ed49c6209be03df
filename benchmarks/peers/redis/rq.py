"""rq: one job at a time, in the worker's own process."""

from __future__ import annotations

import contextlib

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.peers import inside

connection = Redis.from_url(inside.URL)
queue = Queue(connection=connection)


def job(n: int, text: str) -> None:
    inside.handle_in_thread(n, text)


@contextlib.contextmanager
def producer():
    def dispatch(n: int, text: str) -> None:
        queue.enqueue(job, n, text, result_ttl=0)

    yield dispatch


def fill(count: int) -> None:
    for chunk in inside.chunks(count):
        queue.enqueue_many([Queue.prepare_data(job, (n, inside.TEXT), result_ttl=0) for n in chunk])


def work() -> None:
    SimpleWorker([queue], connection=connection).work(logging_level="ERROR")
