"""dramatiq: one process of threads, jobs fetched in batches by a script."""

from __future__ import annotations

import contextlib
import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import inside

dramatiq.set_broker(RedisBroker(url=inside.URL))


@dramatiq.actor
def job(n: int, text: str) -> None:
    inside.handle_in_thread(n, text)


@contextlib.contextmanager
def producer():
    yield job.send


def fill(count: int) -> None:
    for n in range(count):
        job.send(n, inside.TEXT)


def work() -> None:
    threads = str(inside.CONCURRENCY)
    command = [sys.executable, "-m", "dramatiq", __name__, "--processes", "1"]
    os.execv(command[0], [*command, "--threads", threads])
