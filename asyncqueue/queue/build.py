"""From a job and the options of its dispatch to the record that is stored."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec

from asyncqueue import codec
from asyncqueue.backoff import Backoff
from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.ids import new_id
from asyncqueue.job import Job
from asyncqueue.lanes import split_lane
from asyncqueue.options import (
    BackoffOption,
    JobOptions,
    Priority,
    check_backoff,
    check_max_attempts,
    check_priority,
    check_queue,
    check_timeout,
)
from asyncqueue.record import Record
from asyncqueue.trace import current_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.settings import Settings

MAX_ID = 200


class DispatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one dispatch as they were given."""

    queue: str | None = None
    delay: Duration | None = None
    at: datetime | None = None
    priority: int | None = None
    id: str | None = None
    max_attempts: int | None = None
    timeout: Duration | None = None
    backoff: BackoffOption | None = None


NO_OPTIONS = DispatchOptions()
_ANY_CLASS = JobOptions()


def record_of(job: Any, given: DispatchOptions, settings: Settings, clock: Clock) -> Record:
    """The record of a job.

    Raises ``TypeError`` for what is not a job, ``ValueError`` for an option that cannot be
    understood and :class:`~asyncqueue.errors.PayloadError` for fields that cannot be stored.
    """
    if not isinstance(job, Job):
        raise TypeError(_not_a_job(job))
    cls: Any = type(job)
    options: JobOptions = cls.__job_options__
    payload = codec.encode(job, settings.max_payload, **_header(given))
    record = _addressed(cls.__job_name__, payload, job, options, given, settings, clock)
    if options.unique is not False:
        record.key = _unique_key(job, options)
        record.key_ttl = options.unique_for
        record.key_until_claimed = options.unique_until == "processing"
    return record


def record_of_fields(
    name: str, fields: Any, maker: Any, given: DispatchOptions, settings: Settings, clock: Clock
) -> Record:
    """The record of a job given by kind and fields; as :func:`record_of`."""
    if codec.is_job_class(maker):
        if not isinstance(fields, dict):
            raise TypeError(f"{name}: the payload must be a dict of its fields, got {fields!r}")
        job = codec.build(name, maker, cast("dict[str, Any]", fields))
        record = record_of(job, given, settings, clock)
        record.name = name
        return record
    payload = codec.encode_fields(name, fields, maker, settings.max_payload, **_header(given))
    return _addressed(name, payload, None, _ANY_CLASS, given, settings, clock)


def _addressed(
    name: str,
    payload: bytes,
    job: Any,
    options: JobOptions,
    given: DispatchOptions,
    settings: Settings,
    clock: Clock,
) -> Record:
    queue, priority = _address(job, options, given, settings)
    return Record(
        _id(given.id),
        queue,
        name,
        payload,
        priority,
        _delay(job, options, given, clock),
        _max_attempts(options, given),
    )


def _address(
    job: Any, options: JobOptions, given: DispatchOptions, settings: Settings
) -> tuple[str, int]:
    """Queue and priority. What is said at dispatch outranks what the class says."""
    said = check_queue(given.queue)
    own = options.queue(job) if callable(options.queue) else options.queue
    queue, lane = split_lane(said or check_queue(own) or settings.default)
    if given.priority is not None:
        return queue, check_priority(given.priority)
    if said and lane is not None:
        return queue, int(lane)
    priority = options.priority(job) if callable(options.priority) else options.priority
    if priority is not None:
        return queue, check_priority(priority)
    return queue, int(Priority.NORMAL if lane is None else lane)


def _delay(job: Any, options: JobOptions, given: DispatchOptions, clock: Clock) -> float:
    if given.at is not None:
        if given.delay is not None:
            raise ValueError("give delay= or at=, not both")
        return max(_instant(given.at) - clock.time(), 0.0)
    delay: Any = options.delay if given.delay is None else given.delay
    if callable(delay):
        delay = delay(job)
    return max(to_finite_seconds(delay, "delay"), 0.0) if delay else 0.0


def _instant(at: datetime) -> float:
    if not isinstance(at, datetime):
        raise TypeError(f"at must be an aware datetime, got {at!r}; delay= takes seconds")
    if at.tzinfo is None:
        raise ValueError(
            f"at={at!r} has no time zone; use an aware datetime such as datetime.now(UTC)"
        )
    return at.timestamp()


def _max_attempts(options: JobOptions, given: DispatchOptions) -> int | None:
    attempts = check_max_attempts(given.max_attempts)
    if attempts is None:
        attempts = options.max_attempts
    waits: Any = given.backoff
    if attempts is None and isinstance(waits, (list, tuple)) and waits:
        # A list of waits given at dispatch says how often, too: one run more than waits.
        return len(cast("Sequence[Any]", waits)) + 1
    return attempts


def _header(given: DispatchOptions) -> dict[str, Any]:
    trace = current_trace()
    header: dict[str, Any] = {} if trace is None else {"trace": trace}
    if given.timeout is not None:
        timeout = check_timeout(given.timeout)
        header["timeout"] = -1.0 if timeout == math.inf else timeout
    if given.backoff is not None:
        header["backoff"] = _storable_backoff(given.backoff)
    return header


def _storable_backoff(given: BackoffOption) -> Backoff | None:
    backoff = check_backoff(given)
    if backoff is not None and not isinstance(backoff, Backoff):
        raise TypeError(
            f"backoff={given!r}: a function cannot be stored with one job; give seconds, a list "
            "or a curve such as exponential(), or put the function on the class"
        )
    return backoff


def _id(given: str | None) -> str:
    if given is None:
        return new_id()
    if not isinstance(given, str) or not 0 < len(given) <= MAX_ID:
        raise ValueError(f"id must be a text of 1 to {MAX_ID} characters, got {given!r}")
    return given


def _unique_key(job: Job, options: JobOptions) -> str:
    name: str = type(job).__job_name__
    if callable(options.unique):
        return f"{name}:{options.unique(job)}"
    digest = hashlib.blake2b(msgspec.msgpack.encode(job, order="deterministic"), digest_size=16)
    return f"{name}:{digest.hexdigest()}"


def _not_a_job(job: Any) -> str:
    if isinstance(job, type) and issubclass(job, Job):
        return f"dispatch() takes a job, got the class {job.__name__}; build it: {job.__name__}(…)"
    return f"dispatch() takes a job, got {job!r}; subclass asyncqueue.Job or use @asyncqueue.job"
