"""One recorded dispatch, and how it is shown when an assertion fails."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from asyncqueue import codec
from asyncqueue.errors import JobError
from asyncqueue.options import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.backoff import Backoff
    from asyncqueue.record import Record
    from asyncqueue.registry import Registry

J_co = TypeVar("J_co", covariant=True)
SHOWN: Final = 20
"""Dispatches that a failed assertion lists."""


class Pushed(Generic[J_co]):
    """A dispatch as it was recorded, after every default and option was applied.

    ``delay`` is in seconds from the dispatch. ``max_attempts``, ``timeout`` (seconds, infinity
    for none) and ``backoff`` are what was said at dispatch, or None where the class or the
    worker decides; ``max_attempts`` is the class's, too. ``within`` is the connection or session
    that was given.
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
            text = f"{self.name} {codec.to_builtins(self._payload)!r}"
        return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


_WIDTH: Final = 200


def listing(pushed: Sequence[Pushed[Any]]) -> str:
    """What was pushed, one dispatch a line."""
    if not pushed:
        return "Nothing was pushed."
    lines = [f"  {one!r}" for one in pushed[:SHOWN]]
    if len(pushed) > SHOWN:
        lines.append(f"  … and {len(pushed) - SHOWN} more")
    return "\n".join([f"Pushed ({len(pushed)}):", *lines])
