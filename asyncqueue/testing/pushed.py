"""Recorded dispatches: how they are searched, and shown when an assertion fails."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from asyncqueue import codec
from asyncqueue.errors import JobError
from asyncqueue.lanes import source_of
from asyncqueue.options import Priority
from asyncqueue.registry import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.backoff import Backoff
    from asyncqueue.function import JobFunction
    from asyncqueue.job import Job
    from asyncqueue.record import Record
    from asyncqueue.registry import Registry

    Kind = type[Job] | JobFunction[..., Any] | str

J_co = TypeVar("J_co", covariant=True)
SHOWN: Final = 20
"""Dispatches that a failed assertion lists."""
WIDTH: Final = 200
"""Characters that it shows of a job."""


class Pushed(Generic[J_co]):
    """A dispatch as it was recorded, after every default and option was applied.

    ``delay`` is in seconds from the dispatch. ``max_attempts``, ``timeout`` (seconds, infinity
    for none) and ``backoff`` are what was said at dispatch, or None where the class or the
    worker decides; ``max_attempts`` is the class's, too. ``batch_id`` is that of its batch, or
    None. ``within`` is the connection or session that was given.
    """

    def __init__(self, record: Record, registry: Registry, within: object | None = None) -> None:
        envelope = codec.open_envelope(record.name, record.payload)
        self.id = record.id
        self.name = record.name
        self.queue = record.queue
        self.priority = record.priority
        self.delay = record.delay
        self.max_attempts = record.max_attempts
        self.timeout: float | None = envelope.timeout
        if self.timeout is not None and self.timeout < 0:
            self.timeout = math.inf
        self.backoff: Backoff | None = envelope.backoff
        self.trace = envelope.trace
        self.batch_id = record.latch
        self.within = within
        self._payload = record.payload
        self._registry = registry

    @functools.cached_property
    def job(self) -> J_co:
        """The job as a worker would get it.

        Raises :class:`~asyncqueue.errors.UnknownJob` where no worker could rebuild it.
        """
        envelope = codec.open_envelope(self.name, self._payload)
        job: J_co = codec.decode(self.name, envelope, self._registry)
        return job

    def is_of(self, kind: Kind) -> bool:
        """Whether it is a job of this class or name."""
        if isinstance(kind, str):
            return self.name == fold(kind)
        return self.name == kind.__job_name__ or self._registry.get(self.name) is kind

    def is_on(self, queue: str) -> bool:
        """Whether it went to this queue, or lane."""
        source = source_of(queue)
        return self.queue == source.queue and source.low <= self.priority <= source.high

    def __repr__(self) -> str:
        parts = [f'{self._shown_job()} on "{self.queue}"']
        if self.delay:
            parts.append(f"delay {self.delay:g} s")
        if self.priority != Priority.NORMAL:
            parts.append(f"priority {self.priority}")
        if self.max_attempts is not None:
            parts.append(f"max_attempts {self.max_attempts}")
        return ", ".join(parts)

    def _shown_job(self) -> str:
        try:
            text = repr(self.job)
        except JobError:
            text = f"{self.name} {codec.to_builtins(self.name, self._payload)!r}"
        return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


class Wanted:
    """What an assertion is about: a kind, and what else a dispatch of it must be like."""

    def __init__(
        self,
        kind: Kind,
        where: Callable[[Any], object] | None = None,
        on: str | None = None,
    ) -> None:
        if not isinstance(kind, str) and not (
            isinstance(kind, type) and hasattr(kind, "__job_name__")
        ):
            raise TypeError(
                f"Give a job class or the name of one, got {kind!r}; for its fields there is where="
            )
        self._kind = kind
        self._where = where
        self._on = on

    def among(self, pushed: Sequence[Pushed[Any]]) -> list[Pushed[Any]]:
        """Those that are wanted."""
        return [one for one in pushed if self._fits(one)]

    def _fits(self, one: Pushed[Any]) -> bool:
        return (
            one.is_of(self._kind)
            and (self._on is None or one.is_on(self._on))
            and (self._where is None or bool(self._where(one.job)))
        )

    def __str__(self) -> str:
        text = self._kind if isinstance(self._kind, str) else self._kind.__job_name__
        if self._where is not None:
            text += " that fits where="
        return text if self._on is None else f'{text} on "{self._on}"'


def check_times(times: int | None) -> None:
    """Raise ``ValueError`` unless it is a count, or None."""
    if times is None:
        return
    if isinstance(times, bool) or not isinstance(times, int) or times < 0:
        raise ValueError(f"times must be a whole number from 0 on, got {times!r}")


def counted(times: int) -> str:
    """``pushed once`` and the like."""
    few = {0: "never pushed", 1: "pushed once", 2: "pushed twice"}
    return few.get(times, f"pushed {times} times")


def listing(pushed: Sequence[object]) -> str:
    """What was pushed, one dispatch a line."""
    if not pushed:
        return "Nothing was pushed."
    lines = [f"  {one!r}" for one in pushed[:SHOWN]]
    if len(pushed) > SHOWN:
        lines.append(f"  … and {len(pushed) - SHOWN} more")
    return "\n".join([f"Pushed ({len(pushed)}):", *lines])
