"""Every error that asyncqueue raises, in one tree under :class:`AsyncQueueError`.

Messages name what was given and say what to do next. The exceptions of driver libraries do
not leak: they arrive as the ``__cause__`` of a :class:`DriverError`.
"""

from __future__ import annotations

from typing import Any


class AsyncQueueError(Exception):
    """Base of everything that asyncqueue raises on purpose."""


class ConfigError(AsyncQueueError):
    """A setting cannot be understood; the message names the variable and its value."""


class UnknownDriver(AsyncQueueError):
    """No driver is registered under the name or URL scheme that was given."""


class QueueClosed(AsyncQueueError):
    """The queue was closed; open a new one."""


class LeaseLost(AsyncQueueError):
    """The job is no longer held by this worker; whatever it does with it changes nothing."""


class JobError(AsyncQueueError):
    """Base of the errors that concern one job."""


class UnknownJob(JobError):
    """No job class is registered under the stored or given kind."""


class UnknownCallback(JobError):
    """No function is registered under this name in the process that was to call it."""


class DuplicateJob(JobError):
    """A different class is already registered under this kind."""


class PayloadError(JobError):
    """A job's fields cannot be stored; or stored bytes do not fit its class, or are encrypted."""


class PayloadTooLarge(PayloadError):
    """The encoded job, or what is stored of it, is larger than ``max_payload``."""


class JobNotFound(JobError):
    """No job has this id, or its record is past its retention."""


class JobTimeout(JobError):
    """An attempt ran longer than its timeout."""


class JobCancelled(JobError):
    """The job was cancelled, so there is no result to wait for."""


class JobFailedError(JobError):
    """The job failed for good, so there is no result to wait for."""


class AttemptsExhausted(JobError):
    """All attempts were used up by workers that died; the job was not run again."""


class SignatureInvalid(JobError):
    """A stored job or result is unsigned, altered or moved; or signed where no keys are set."""


class DriverError(AsyncQueueError):
    """The store refused or cannot do what was asked."""


class DriverUnavailable(DriverError):
    """The store cannot be reached within its time limit; nothing was half-stored."""


class AccessDenied(DriverUnavailable):
    """The store answers, and lets nobody in with these credentials.

    Waiting does not mend that, so a worker command that starts gives up. One that runs goes on, as
    whoever changes a password may still be at it.
    """


class PartlyUnavailable(DriverUnavailable):
    """A part of the store cannot be reached; what concerns the others was done.

    ``answers`` has one for each thing that was asked for; those at the indexes in ``missing``
    mean nothing, for of these nobody knows.
    """

    def __init__(self, message: str, answers: list[Any], missing: frozenset[int]) -> None:
        super().__init__(message)
        self.answers = answers
        self.missing = missing


class TransactionUnsupported(DriverError):
    """This driver cannot store a job inside the transaction that was given."""
