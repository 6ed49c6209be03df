"""asyncqueue: background jobs for asyncio applications, durable and typed.

``JobCancelled`` is the exception here; the event of that name is
``asyncqueue.events.JobCancelled``, and ``Queue.on`` takes either for it.
"""

from asyncqueue import starting as starting  # before all others: it minds the signals

# isort: split

from asyncqueue.attempts import Attempt
from asyncqueue.backoff import Backoff, exponential, fixed, linear
from asyncqueue.batch import BatchInfo
from asyncqueue.callbacks import register_callback
from asyncqueue.context import Context
from asyncqueue.drivers.base import Driver
from asyncqueue.drivers.registry import register_driver
from asyncqueue.errors import (
    AsyncQueueError,
    AttemptsExhausted,
    ConfigError,
    DriverError,
    DriverUnavailable,
    DuplicateJob,
    JobCancelled,
    JobError,
    JobFailedError,
    JobNotFound,
    JobTimeout,
    LeaseLost,
    PayloadError,
    PayloadTooLarge,
    QueueClosed,
    SignatureInvalid,
    TransactionUnsupported,
    UnknownCallback,
    UnknownDriver,
    UnknownJob,
)
from asyncqueue.events import (
    BatchCancelled,
    BatchCompleted,
    BatchCreated,
    BatchJobCompleted,
    BatchJobFailed,
    Event,
    JobFailed,
    JobProcessed,
    JobProcessing,
    JobQueued,
    JobReleased,
    JobRetrying,
    QueueBusy,
    QueuePaused,
    QueueResumed,
    WorkerStarted,
    WorkerStopping,
)
from asyncqueue.execution.outcome import Fail, Retry, Snooze
from asyncqueue.function import job
from asyncqueue.job import Job
from asyncqueue.limits import Limit
from asyncqueue.middleware import (
    FailOn,
    RateLimited,
    SkipIfBatchCancelled,
    ThrottlesExceptions,
    WithoutOverlapping,
)
from asyncqueue.options import Priority
from asyncqueue.queue import (
    Batch,
    Chain,
    Explanation,
    FailedJob,
    FailedPage,
    JobHandle,
    JobInfo,
    Page,
    Queue,
    QueueStats,
    RunningJob,
    WorkerInfo,
    default_queue,
    dispatch,
    dispatch_many,
    dispatch_named,
    set_default,
)
from asyncqueue.record import State
from asyncqueue.registry import Registry, register
from asyncqueue.schedule import ScheduleEntry, Scheduler
from asyncqueue.settings import Settings
from asyncqueue.trace import Trace, current_trace, use_trace
from asyncqueue.version import __version__
from asyncqueue.worker import Worker

__all__ = [
    "AsyncQueueError",
    "Attempt",
    "AttemptsExhausted",
    "Backoff",
    "Batch",
    "BatchCancelled",
    "BatchCompleted",
    "BatchCreated",
    "BatchInfo",
    "BatchJobCompleted",
    "BatchJobFailed",
    "Chain",
    "ConfigError",
    "Context",
    "Driver",
    "DriverError",
    "DriverUnavailable",
    "DuplicateJob",
    "Event",
    "Explanation",
    "Fail",
    "FailOn",
    "FailedJob",
    "FailedPage",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobFailedError",
    "JobHandle",
    "JobInfo",
    "JobNotFound",
    "JobProcessed",
    "JobProcessing",
    "JobQueued",
    "JobReleased",
    "JobRetrying",
    "JobTimeout",
    "LeaseLost",
    "Limit",
    "Page",
    "PayloadError",
    "PayloadTooLarge",
    "Priority",
    "Queue",
    "QueueBusy",
    "QueueClosed",
    "QueuePaused",
    "QueueResumed",
    "QueueStats",
    "RateLimited",
    "Registry",
    "Retry",
    "RunningJob",
    "ScheduleEntry",
    "Scheduler",
    "Settings",
    "SignatureInvalid",
    "SkipIfBatchCancelled",
    "Snooze",
    "State",
    "ThrottlesExceptions",
    "Trace",
    "TransactionUnsupported",
    "UnknownCallback",
    "UnknownDriver",
    "UnknownJob",
    "WithoutOverlapping",
    "Worker",
    "WorkerInfo",
    "WorkerStarted",
    "WorkerStopping",
    "__version__",
    "current_trace",
    "default_queue",
    "dispatch",
    "dispatch_many",
    "dispatch_named",
    "exponential",
    "fixed",
    "job",
    "linear",
    "register",
    "register_callback",
    "register_driver",
    "set_default",
    "use_trace",
]
