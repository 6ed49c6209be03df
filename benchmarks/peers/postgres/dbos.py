"""dbos: durable workflows on threads, polled."""

from __future__ import annotations

import contextlib
import threading

from dbos import DBOS, DBOSClient

from benchmarks.peers import inside

QUEUE = "jobs"

DBOS(
    config={
        "name": "jobs",
        "system_database_url": inside.URL,
        "application_version": "1",
        "log_level": "ERROR",
        "sys_db_pool_size": 20,
    }
)


@DBOS.workflow(name="job")
def job(n: int, text: str) -> None:
    inside.handle_in_thread(n, text)


def launch() -> None:
    DBOS.launch()
    # Without a limit the whole backlog is claimed in one transaction.
    DBOS.register_queue(
        QUEUE,
        worker_concurrency=inside.CONCURRENCY,
        polling_interval_sec=0.05 if inside.FIGURE == "latency" else 0.01,
    )


def prepare() -> None:
    launch()
    DBOS.destroy()


@contextlib.contextmanager
def producer():
    client = DBOSClient(system_database_url=inside.URL, system_database_pool_size=20)

    def dispatch(n: int, text: str) -> None:
        client.enqueue({"queue_name": QUEUE, "workflow_name": "job"}, n, text)

    yield dispatch
    client.destroy()


def fill(count: int) -> None:
    with producer() as dispatch:
        for n in range(count):
            dispatch(n, inside.TEXT)


def work() -> None:
    launch()
    threading.Event().wait()
