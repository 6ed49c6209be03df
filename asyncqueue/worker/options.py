"""The options of a worker, checked, in seconds, with their defaults filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from asyncqueue.durations import Duration, to_finite_seconds, to_seconds
from asyncqueue.execution.plan import Defaults
from asyncqueue.lanes import source_of
from asyncqueue.options import BackoffOption, check_backoff, check_max_attempts
from asyncqueue.queue import Queue
from asyncqueue.record import Source
from asyncqueue.settings_checks import DEFAULT_TIMEOUT, DEFAULT_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.settings import Settings

MAX_CONCURRENCY: Final = 10_000

Queues = str | Sequence[str] | Mapping[str, int]


class Pool(msgspec.Struct, frozen=True):
    """Slots that serve these sources, strictly in their order."""

    names: tuple[str, ...]
    sources: tuple[Source, ...]
    slots: int


class Limits(msgspec.Struct, frozen=True):
    """When a worker ends by itself; None means never."""

    max_jobs: int | None = None
    max_time: float | None = None
    max_memory_mb: float | None = None
    stop_when_empty: bool = False


class Timing(msgspec.Struct, frozen=True):
    """Intervals and bounds of a worker, in seconds."""

    poll_interval: float
    lease: float
    grace: float
    drain: float | None
    cleanup_interval: float
    """0: old records are left alone."""
    failed_retention: float
    recovery: bool
    """Whether it takes back the jobs of dead workers."""


def pools_of(queues: Queues | None, concurrency: int | None, settings: Settings) -> list[Pool]:
    """One pool for a list of queues, one for each queue of a mapping."""
    if isinstance(queues, Mapping):
        if not queues:
            raise ValueError("queues={} names no queue; leave it out for the default queue")
        return [_pool((name,), _own_slots(name, slots)) for name, slots in queues.items()]
    if queues is not None and not isinstance(queues, (str, Sequence)):
        raise TypeError(
            f"queues must be a name, a list of names or a dict of names and slots, got {queues!r}"
        )
    names = (queues,) if isinstance(queues, str) else tuple(queues or ())
    slots = check_concurrency(settings.workers if concurrency is None else concurrency)
    return [_pool(names or (settings.default,), slots)]


def check_concurrency(value: int) -> int:
    """Slots: 0 or less is ignored, more than 10,000 is 10,000."""
    if not _is_whole(value):
        raise TypeError(f"concurrency must be a whole number, got {value!r}")
    return DEFAULT_WORKERS if value <= 0 else min(value, MAX_CONCURRENCY)


def defaults_of(
    timeout: Duration | None,
    max_attempts: int | None,
    backoff: BackoffOption | None,
    settings: Settings,
) -> Defaults:
    """What applies to jobs that do not say; arguments outrank the settings."""
    seconds = to_seconds(settings.timeout if timeout is None else timeout, "timeout")
    if seconds <= 0:
        seconds = DEFAULT_TIMEOUT
    attempts = check_max_attempts(settings.max_attempts if max_attempts is None else max_attempts)
    curve: Any = check_backoff(backoff) or settings.backoff
    return Defaults(
        timeout=seconds,
        max_attempts=attempts or 1,
        backoff=curve,
        retention=settings.retention,
    )


def timing_of(
    settings: Settings,
    *,
    poll_interval: Duration | None,
    lease: Duration | None,
    grace: Duration | None,
    drain_timeout: Duration | None,
) -> Timing:
    """Intervals and bounds; arguments outrank the settings."""
    return Timing(
        poll_interval=_positive("poll_interval", poll_interval, settings.poll_interval),
        lease=_positive("lease", lease, settings.lease),
        grace=_not_negative("grace", settings.grace if grace is None else grace),
        drain=None if drain_timeout is None else _not_negative("drain_timeout", drain_timeout),
        cleanup_interval=settings.cleanup_interval,
        failed_retention=settings.failed_retention,
        recovery=settings.recovery,
    )


def limits_of(
    max_jobs: int | None,
    max_time: Duration | None,
    max_memory_mb: float | None,
    *,
    stop_when_empty: bool,
) -> Limits:
    """When the worker ends by itself."""
    if max_jobs is not None and (not _is_whole(max_jobs) or max_jobs < 1):
        raise ValueError(f"max_jobs must be at least 1, got {max_jobs!r}; None is no limit")
    return Limits(
        max_jobs,
        None if max_time is None else _positive("max_time", max_time, 0),
        None if max_memory_mb is None else _positive("max_memory_mb", max_memory_mb, 0),
        stop_when_empty,
    )


def check_queue_object(value: Queue) -> Queue:
    """What a worker works on."""
    if not isinstance(value, Queue):
        raise TypeError(
            f'A worker needs the Queue that it works on, got {value!r}; Worker(Queue("sqlite:///…"))'
        )
    return value


def check_prefetch(value: int) -> int:
    """Jobs to claim beyond the free slots; less than none is none."""
    if not _is_whole(value):
        raise TypeError(f"prefetch must be a whole number, got {value!r}")
    return max(value, 0)


def check_handler(value: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """What is called instead of the own ``handle`` of plain jobs."""
    if value is not None and not callable(value):
        raise TypeError(f"handler must be callable with the job, got {value!r}")
    return value


def check_unknown_jobs(value: str) -> Literal["fail", "release"]:
    """What to do with a kind that nobody registered."""
    if value == "fail" or value == "release":  # noqa: PLR1714 - narrows the type
        return value
    raise ValueError(f'unknown_jobs must be "fail" or "release", got {value!r}')


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pool(names: tuple[str, ...], slots: int) -> Pool:
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a queue name must be a non-empty string, got {name!r}")
    return Pool(names, tuple(source_of(name) for name in names), slots)


def _own_slots(name: str, slots: int) -> int:
    if not _is_whole(slots) or slots < 1:
        raise ValueError(f"queue {name!r} needs at least 1 slot, got {slots!r}")
    return min(slots, MAX_CONCURRENCY)


def _positive(name: str, given: Duration | None, default: float) -> float:
    seconds = to_finite_seconds(default if given is None else given, name)
    if seconds <= 0:
        raise ValueError(f"{name} must be positive, got {given!r}")
    return seconds


def _not_negative(name: str, given: Duration) -> float:
    seconds = to_seconds(given, name)
    if seconds < 0 or math.isnan(seconds):
        raise ValueError(f"{name} must not be negative, got {given!r}")
    return seconds
