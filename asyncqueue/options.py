"""What a job class says about how its jobs are queued and run, checked where it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, Literal, TypedDict, cast

import msgspec

from asyncqueue.backoff import Backoff, fixed, from_list
from asyncqueue.durations import Duration, to_finite_seconds, to_seconds
from asyncqueue.limits import Limit, LimitOption, check_limits
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY

MOST_ATTEMPTS: Final = 2**63 - 1
"""What every store can hold."""


class Priority(IntEnum):
    """Names for three priorities; any integer from -32768 to 32767 is one, higher runs first."""

    LOW = 0
    NORMAL = 1
    HIGH = 10


BackoffCallable = Callable[[Any, int, Any], Duration]
BackoffOption = Duration | Sequence[Duration] | Backoff | BackoffCallable


class JobKeywords(TypedDict, total=False):
    """What a job class, or ``@job``, may say of its jobs. Durations are seconds or a timedelta."""

    name: str | None
    """The kind, as it is stored; the class's or function's name by default."""
    queue: str | Callable[[Any], str] | None
    """A name, or a function of the job; the settings' default queue otherwise."""
    max_attempts: int | None
    """Runs in all; 0 and 1 both mean one. By default the worker's, 3."""
    max_retries: int | None
    """Runs after the first one, instead of ``max_attempts``."""
    timeout: Duration | None
    """Seconds for one attempt, ``math.inf`` for no end. By default the worker's, 30."""
    backoff: BackoffOption | None
    """Seconds between attempts, a list of them (the last one repeats), a curve, or a function of
    job, attempt and error. By default the worker's, 1 to 300 doubling."""
    priority: int | Callable[[Any], int] | None
    """-32768 to 32767, or a function of the job; higher runs first. By default 1."""
    delay: Duration | Callable[[Any], Duration]
    """Seconds until it is due, or a function of the job. By default 0."""
    retry_until: Duration | None
    """Seconds from its dispatch in which it is retried, however often."""
    max_exceptions: int | None
    """Raised errors after which it fails; ``Retry`` and ``Snooze`` do not count."""
    fail_on_timeout: bool
    """Whether a timeout is final. By default it is not."""
    unique: bool | Callable[[Any], str]
    """True (kind and payload), or a function of the job that gives the key: while a job has it, a
    dispatch of another one answers that job instead."""
    unique_for: Duration | None
    """Seconds that the key is held at most. By default until ``unique_until``."""
    unique_until: Literal["finished", "processing"]
    """How long the key is held. By default until the job is finished."""
    retention: Duration | None
    """Seconds that a completed or cancelled job and its result are kept, 0 for not at all. By
    default the settings', 3600."""
    middleware: Sequence[Callable[..., Any]]
    """Functions around every attempt, inside those of queue and worker."""
    limit: LimitOption | None
    """A ``Limit`` or a list of them: how many may run at a time, over all workers."""
    fair_by: str | Callable[[Any], object] | None
    """A field's name or a function of the job by which jobs of a priority take turns."""
    replace: bool
    """Take over the kind from another class, instead of ``DuplicateJob``."""


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The class keywords of a job class, checked and in seconds."""

    queue: str | Callable[[Any], str] | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    backoff: Backoff | BackoffCallable | None = None
    priority: int | Callable[[Any], int] | None = None
    delay: float | Callable[[Any], Duration] = 0.0
    retry_until: float | None = None
    max_exceptions: int | None = None
    fail_on_timeout: bool = False
    unique: bool | Callable[[Any], str] = False
    unique_for: float | None = None
    unique_until: Literal["finished", "processing"] = "finished"
    retention: float | None = None
    middleware: tuple[Any, ...] = ()
    limit: tuple[Limit, ...] = ()
    fair_by: str | Callable[[Any], object] | None = None


NAMES: Final = frozenset(JobOptions.__struct_fields__) | {"max_retries"}
"""The class keywords that are options of the job, not of msgspec."""


def merge_options(base: JobOptions, given: Mapping[str, Any]) -> JobOptions:
    """``base`` with the given class keywords over it.

    Raises ``TypeError`` or ``ValueError`` naming the keyword that cannot be understood.
    """
    values = dict(given)
    if "max_retries" in values:
        values["max_attempts"] = _attempts_from_retries(values)
        del values["max_retries"]
    checked = {name: _CHECKS[name](value) for name, value in values.items()}
    return msgspec.structs.replace(base, **checked)


def check_max_attempts(value: int | None) -> int | None:
    """Total runs; 0 and 1 both mean one run, None the worker's default."""
    if value is None:
        return None
    if _whole("max_attempts", value) > MOST_ATTEMPTS:
        raise ValueError(f"max_attempts must be at most {MOST_ATTEMPTS}, got {value}")
    return max(value, 1)


def check_timeout(value: Duration | None) -> float | None:
    """Seconds per attempt; None is the worker's default, ``math.inf`` none."""
    if value is None:
        return None
    seconds = to_seconds(value, "timeout")
    if seconds <= 0:
        raise ValueError(
            f"timeout must be positive, got {value!r}; None is the worker's, math.inf is none"
        )
    return seconds


def check_priority(value: int) -> int:
    """An integer in the range that every store can hold."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"priority must be an integer, got {value!r}")
    if not MIN_PRIORITY <= value <= MAX_PRIORITY:
        raise ValueError(f"priority must be {MIN_PRIORITY} to {MAX_PRIORITY}, got {value}")
    return int(value)


def check_backoff(value: BackoffOption | None) -> Backoff | BackoffCallable | None:
    """Seconds, a list of seconds, a curve or a function; None and [] are the worker's."""
    if value is None or isinstance(value, Backoff):
        return value
    if callable(value):
        return value
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return from_list(value) if value else None
    return fixed(cast("Duration", value))


def check_queue(value: str | None, what: str = "queue") -> str | None:
    """A queue name; an empty one counts as absent."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{what} must be a queue name, got {value!r}")
    if value and not is_storable(value):
        raise ValueError(f"{what} must be a name without zero bytes and surrogates, got {value!r}")
    return value or None


def is_storable(text: str) -> bool:
    """Whether every store can hold this text and find it again."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _attempts_from_retries(values: Mapping[str, Any]) -> int | None:
    if values.get("max_attempts") is not None:
        raise TypeError(
            "give max_attempts (all runs) or max_retries (extra runs), not both; got "
            f"max_attempts={values['max_attempts']!r} and max_retries={values['max_retries']!r}"
        )
    retries = values["max_retries"]
    return None if retries is None else min(_whole("max_retries", retries) + 1, MOST_ATTEMPTS)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    return value


def _positive_count(value: Any) -> int | None:
    if value is not None and _whole("max_exceptions", value) == 0:
        raise ValueError("max_exceptions must be at least 1, got 0; leave it out for no limit")
    return value  # type: ignore[no-any-return]


def _span(name: str) -> Callable[[Any], float | None]:
    def check(value: Any) -> float | None:
        if value is None:
            return None
        seconds = to_seconds(value, name)
        if seconds < 0:
            raise ValueError(f"{name} must not be negative, got {value!r}")
        return seconds if math.isfinite(seconds) else None

    return check


def _retention(value: Any) -> float | None:
    if value is None:
        return None
    seconds = to_finite_seconds(value, "retention")
    if seconds < 0:
        raise ValueError(f"retention must not be negative, got {value!r}; 0 keeps nothing")
    return seconds


def _flag(name: str) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
        return value

    return check


def _unique(value: Any) -> Any:
    if callable(value) or isinstance(value, bool):
        return value
    raise TypeError(f"unique must be True, False or a function of the job, got {value!r}")


def _unique_until(value: Any) -> str:
    if value not in ("finished", "processing"):
        raise ValueError(f'unique_until must be "finished" or "processing", got {value!r}')
    return str(value)


def check_middleware(value: Any) -> tuple[Any, ...]:
    """Functions that can be called with ``(ctx, call_next)``, outermost first."""
    if not isinstance(value, Sequence):
        raise TypeError(f"middleware must be a list of functions, got {value!r}")
    layers = tuple(cast("Sequence[Any]", value))
    for layer in layers:
        if not callable(layer):
            raise TypeError(f"middleware must be callable with (ctx, call_next), got {layer!r}")
    return layers


def _fair_by(value: Any) -> Any:
    if value is None or callable(value) or (isinstance(value, str) and value):
        return value
    raise TypeError(f"fair_by must be a field's name or a function of the job, got {value!r}")


def _or_callable(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: value if callable(value) else check(value)


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "queue": _or_callable(check_queue),
    "max_attempts": check_max_attempts,
    "timeout": check_timeout,
    "backoff": check_backoff,
    "priority": _or_callable(lambda value: None if value is None else check_priority(value)),
    "delay": _or_callable(lambda value: to_finite_seconds(value, "delay")),
    "retry_until": _span("retry_until"),
    "max_exceptions": _positive_count,
    "fail_on_timeout": _flag("fail_on_timeout"),
    "unique": _unique,
    "unique_for": _span("unique_for"),
    "unique_until": _unique_until,
    "retention": _retention,
    "middleware": check_middleware,
    "limit": check_limits,
    "fair_by": _fair_by,
}
