"""celery: threads; a job is acknowledged when it starts."""

from __future__ import annotations

import contextlib

from celery import Celery

from benchmarks.peers import inside

app = Celery("jobs", broker=inside.URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="job")
def job(n: int, text: str) -> None:
    inside.handle_in_thread(n, text)


@contextlib.contextmanager
def producer():
    yield job.delay


def fill(count: int) -> None:
    with app.producer_or_acquire() as pooled:
        for n in range(count):
            job.apply_async((n, inside.TEXT), producer=pooled)


def work() -> None:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    app.worker_main(["worker", "-P", "threads", "-c", str(inside.CONCURRENCY), *quiet])
