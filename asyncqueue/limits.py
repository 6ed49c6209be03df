"""Limits of how many jobs run at a time, or start in a while, in the whole cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.record import Limited

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_LIMITS: Final = 8
"""Limits of one job."""
LONGEST_KEY: Final = 200


class Limit:
    """How many jobs under one name may run at a time, and start within a while.

    ``concurrency``: so many at a time. ``rate`` and ``per`` (seconds): no more than so many starts
    in any ``per`` seconds, whatever becomes of them. Give one or both. ``by`` is called with the
    job and answers a key, such as its tenant: each key has its own count.

    Kept by the store, so it holds over all workers; jobs over it wait without being claimed, and
    hold up nobody else. Give job classes that share a limit the same name and numbers. Raises
    ``TypeError`` or ``ValueError`` for what cannot be meant.
    """

    __slots__ = ("by", "concurrency", "name", "per", "rate")

    def __init__(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        rate: int | None = None,
        per: Duration | None = None,
        by: Callable[[Any], object] | None = None,
    ) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_KEY:
            raise ValueError(f"a limit needs a name of 1 to {LONGEST_KEY} characters, got {name!r}")
        if (rate is None) is not (per is None):
            raise ValueError(
                f"limit {name!r}: rate and per belong together, as in rate=100, per=60"
            )
        if concurrency is None and rate is None:
            raise ValueError(f"limit {name!r}: give concurrency=, or rate= and per=")
        if by is not None and not callable(by):
            raise TypeError(f"limit {name!r}: by takes a function of the job, got {by!r}")
        self.name = name
        self.concurrency = _count(name, "concurrency", concurrency)
        self.rate = _count(name, "rate", rate)
        self.per = None if per is None else to_finite_seconds(per, "per")
        self.by = by
        if self.per is not None and self.per <= 0:
            raise ValueError(f"limit {name!r}: per must be positive, got {per!r}")

    def of(self, job: Any) -> Iterable[Limited]:
        """The permits that this job needs."""
        key = self.name if self.by is None else f"{self.name}:{_key(self.by(job), 'limit')}"
        if self.concurrency is not None:
            yield Limited(f"concurrency:{key}", self.concurrency)
        if self.rate is not None:
            yield Limited(f"rate:{key}", self.rate, self.per)

    def __repr__(self) -> str:
        told = {"concurrency": self.concurrency, "rate": self.rate, "per": self.per}
        given = "".join(f", {key}={value!r}" for key, value in told.items() if value is not None)
        return f"Limit({self.name!r}{given})"


LimitOption = Limit | Sequence[Limit]


def check_limits(value: Any) -> tuple[Limit, ...]:
    """One limit or several."""
    limits = () if value is None else (value,) if isinstance(value, Limit) else value
    if not isinstance(limits, Sequence) or isinstance(limits, (str, bytes)):
        raise TypeError(f"limit takes a Limit or a list of them, got {value!r}")
    checked = tuple(cast("Sequence[Any]", limits))
    for limit in checked:
        if not isinstance(limit, Limit):
            raise TypeError(f"limit takes a Limit or a list of them, got {limit!r} in it")
    if len(checked) > MOST_LIMITS:
        raise ValueError(f"limit takes at most {MOST_LIMITS}, got {len(checked)}")
    return checked


def limits_of(limits: Iterable[Limit], job: Any) -> tuple[Limited, ...]:
    """All permits that a job needs, one for each key."""
    permits = {permit.key: permit for limit in limits for permit in limit.of(job)}
    return tuple(permits.values())


def fair_key(fair_by: str | Callable[[Any], object], job: Any) -> str:
    """Whose turn a job is: what a function, or its field of this name, says."""
    value = fair_by(job) if callable(fair_by) else getattr(job, fair_by)
    return _key(value, "fair_by")


def _key(value: object, option: str) -> str:
    text = str(value)
    if value is None or not 0 < len(text) <= LONGEST_KEY or "\0" in text:
        raise ValueError(
            f"{option}: a key needs a text of 1 to {LONGEST_KEY} characters, got {value!r}"
        )
    return text


def _count(name: str, what: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"limit {name!r}: {what} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"limit {name!r}: {what} must be at least 1, got {value}")
    return value
