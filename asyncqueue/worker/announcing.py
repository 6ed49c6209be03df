"""What others hear of a worker: who it is, that it takes jobs, that it takes no more."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from asyncqueue.clock import now_of
from asyncqueue.events import WorkerStarted, WorkerStopping
from asyncqueue.record import Presence

if TYPE_CHECKING:
    from asyncqueue.worker.worker import Worker


def presence(worker: Worker, started_at: float) -> Presence:
    """How others see this worker."""
    return Presence(
        id=worker.id,
        host=socket.gethostname(),
        pid=os.getpid(),
        queues=worker.queues,
        concurrency=worker.concurrency,
        started_at=started_at,
        kinds=list(worker.queue.registry),
    )


def started(worker: Worker) -> None:
    """Say that it takes jobs from now on."""
    worker.log.info("Worker %s started on %s", worker.id, ", ".join(worker.queues))
    _send(worker, WorkerStarted)


def stopping(worker: Worker, reason: str) -> None:
    """Say that it takes no more jobs, and why."""
    worker.log.info("Worker %s stops: %s", worker.id, reason)
    _send(worker, WorkerStopping, reason=reason)


def _send(worker: Worker, event_type: type[Any], **fields: Any) -> None:
    listeners = worker.queue.listeners
    if listeners.wants(event_type):
        listeners.send(
            event_type(
                at=now_of(worker.queue.driver.clock),
                worker_id=worker.id,
                queues=tuple(worker.queues),
                **fields,
            )
        )
