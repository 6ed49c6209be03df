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
from asyncqueue.errors import DriverError
from asyncqueue.ids import new_id, new_ids
from asyncqueue.job import Job
from asyncqueue.lanes import split_lane
from asyncqueue.limits import fair_key, limits_of
from asyncqueue.options import (
    BackoffOption,
    JobOptions,
    Priority,
    check_backoff,
    check_max_attempts,
    check_priority,
    check_queue,
    check_timeout,
    is_storable,
)
from asyncqueue.record import Record
from asyncqueue.refusals import no_fields
from asyncqueue.trace import current_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.drivers.base import Driver
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


class Builder:
    """Makes the records of one queue's dispatches.

    Every method raises ``TypeError`` for what is not a job, ``ValueError`` for an option that
    cannot be understood and :class:`~asyncqueue.errors.PayloadError` for fields that cannot be
    stored.
    """

    def __init__(self, settings: Settings, driver: Driver) -> None:
        self._settings = settings
        self._driver = driver
        self._forms: dict[type[Any], Form] = {}

    def record(
        self, job: Any, given: DispatchOptions, clock: Clock, *, remembered: float = 0.0
    ) -> Record:
        """The record of a job, to be kept for ``remembered`` seconds at least once it finished."""
        cls: Any = job.__class__
        form = self._forms.get(cls) if given is NO_OPTIONS else None
        if form is None:
            form = self._form(job, given, clock)
        header = _header(given)
        if remembered:
            header["remembered"] = remembered
        return form.record(job, header, clock, _id(given.id))

    def records(self, jobs: Sequence[Any], given: DispatchOptions, clock: Clock) -> list[Record]:
        """The records of several jobs, whose ids are made for them."""
        header = _header(given)
        forms: dict[type[Any], Form] = {}
        records: list[Record] = []
        for job, id in zip(jobs, new_ids(len(jobs)), strict=True):
            cls: Any = job.__class__
            form = forms.get(cls)
            if form is None:
                form = forms[cls] = self._form(job, given, clock)
            records.append(form.record(job, header, clock, id))
        return records

    def record_of_fields(
        self, name: str, fields: Any, maker: Any, given: DispatchOptions, clock: Clock
    ) -> Record:
        """The record of a job given by kind and fields."""
        if codec.is_job_class(maker):
            if not isinstance(fields, dict):
                raise TypeError(no_fields(name, fields))
            job = codec.build(name, maker, cast("dict[str, Any]", fields))
            record = self.record(job, given, clock)
            record.name = name
            return record
        most = self._settings.max_payload
        payload = codec.encode_fields(name, fields, maker, most, **_header(given))
        form = Form(name, _ANY_CLASS, given, self._settings, clock)
        return form.around(payload, None, clock, _id(given.id))

    def _form(self, job: Any, given: DispatchOptions, clock: Clock) -> Form:
        if not isinstance(job, Job):
            raise TypeError(_not_a_job(job))
        cls: Any = type(job)
        form = Form(cls.__job_name__, cls.__job_options__, given, self._settings, clock)
        if form.limited and not self._driver.has_limits:
            raise DriverError(
                f"{cls.__job_name__}: the {self._driver.name} driver keeps no limits and no turns; "
                "leave limit= and fair_by= out, or use a driver that does."
            )
        if given is NO_OPTIONS:
            self._forms[cls] = form
        return form


class Form:
    """What all records of one kind have in common when they are dispatched with these options."""

    def __init__(
        self,
        name: str,
        options: JobOptions,
        given: DispatchOptions,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._name = name
        self._options = options
        self._given = given
        self._settings = settings
        self._max_attempts = _max_attempts(options, given)
        self._varies = any(map(callable, (options.queue, options.priority, options.delay)))
        self.limited = bool(options.limit) or options.fair_by is not None
        if not self._varies:
            self._terms = self._terms_of(None, clock)

    def record(self, job: Any, header: dict[str, Any], clock: Clock, id: str) -> Record:
        """The record of a job."""
        payload = codec.encode(job, self._settings.max_payload, **header)
        record = self.around(payload, job, clock, id)
        options = self._options
        if options.unique is not False:
            record.key = _unique_key(job, options)
            record.key_ttl = options.unique_for
            record.key_until_claimed = options.unique_until == "processing"
        if self.limited:
            record.limits = limits_of(options.limit, job)
            if options.fair_by is not None:
                record.fair = fair_key(options.fair_by, job)
        return record

    def around(self, payload: bytes, job: Any, clock: Clock, id: str) -> Record:
        """The record with this payload."""
        queue, priority, delay = self._terms_of(job, clock) if self._varies else self._terms
        record = Record(id, queue, self._name, payload, priority, delay, self._max_attempts)
        record.fresh = not self._given.id
        return record

    def _terms_of(self, job: Any, clock: Clock) -> tuple[str, int, float]:
        options, given = self._options, self._given
        queue, priority = _address(job, options, given, self._settings)
        return queue, priority, _delay(job, options, given, clock)


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
    return 0.0 if delay is None else max(to_finite_seconds(delay, "delay"), 0.0)


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
    if not given:
        return new_id()
    if not isinstance(given, str) or not 0 < len(given) <= MAX_ID or not is_storable(given):
        raise ValueError(
            f"id must be a text of 1 to {MAX_ID} characters, without zero bytes and surrogates; "
            f"got {given!r}"
        )
    return given


def _unique_key(job: Job, options: JobOptions) -> str | None:
    name: str = type(job).__job_name__
    if callable(options.unique):
        key: Any = options.unique(job)
        if key is None:
            raise TypeError(
                f"{name}: unique= returned None, so all such jobs would be duplicates of each "
                'other; return what tells them apart, or "" for one that is not unique.'
            )
        if key == "":
            return None
        return f"{name}:{key}"
    digest = hashlib.blake2b(msgspec.msgpack.encode(job, order="deterministic"), digest_size=16)
    return f"{name}:{digest.hexdigest()}"


def _not_a_job(job: Any) -> str:
    if isinstance(job, type) and issubclass(job, Job):
        return f"dispatch() takes a job, got the class {job.__name__}; build it: {job.__name__}(…)"
    return f"dispatch() takes a job, got {job!r}; subclass asyncqueue.Job or use @asyncqueue.job"
