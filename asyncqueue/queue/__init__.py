"""The queue: what producers and operators hold."""

from asyncqueue.queue.batch import Batch
from asyncqueue.queue.chain import Chain
from asyncqueue.queue.default import (
    default_queue,
    dispatch,
    dispatch_many,
    dispatch_named,
    set_default,
)
from asyncqueue.queue.explaining import Explanation
from asyncqueue.queue.handle import JobHandle
from asyncqueue.queue.info import (
    FailedJob,
    FailedPage,
    JobInfo,
    Page,
    QueueStats,
    RunningJob,
    WorkerInfo,
)
from asyncqueue.queue.queue import Queue

__all__ = [
    "Batch",
    "Chain",
    "Explanation",
    "FailedJob",
    "FailedPage",
    "JobHandle",
    "JobInfo",
    "Page",
    "Queue",
    "QueueStats",
    "RunningJob",
    "WorkerInfo",
    "default_queue",
    "dispatch",
    "dispatch_many",
    "dispatch_named",
    "set_default",
]
