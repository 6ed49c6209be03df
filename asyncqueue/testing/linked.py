"""Chains and batches as they were recorded, and how an assertion finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from asyncqueue.batch import BatchData
from asyncqueue.callbacks import CallbackJob, callbacks
from asyncqueue.job import Job
from asyncqueue.record import On, Record
from asyncqueue.testing.pushed import Pushed, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.links import BatchLink, Link, Rest
    from asyncqueue.registry import Registry
    from asyncqueue.testing.pushed import Kind

    Callback = Pushed[Any] | str | Callable[..., Any]
    Member = Kind | Job
    Step = Member | Sequence[Member]


class Reader:
    """Rebuilds what a queue recorded; ``within`` is the connection or session that was given."""

    def __init__(self, registry: Registry, within: object | None) -> None:
        self._registry = registry
        self.within = within

    def pushed(self, record: Record) -> Pushed[Any]:
        """A job."""
        return Pushed(record, self._registry, self.within)

    def callback(self, record: Record) -> Callback:
        """A job, a registered name, or the function itself."""
        pushed = self.pushed(record)
        if record.name != CallbackJob.__job_name__:
            return pushed
        name: str = pushed.job.callback
        return name if callbacks.known(name) else callbacks.find(name)


class PushedBatch:
    """A batch as it was recorded.

    ``jobs`` are its members in their order; ``then``, ``catch`` and ``finally_`` its callbacks:
    jobs, registered names or functions.
    """

    def __init__(self, link: BatchLink, reader: Reader) -> None:
        data = msgspec.msgpack.decode(link.latch.data, type=BatchData)
        self.id = link.latch.id
        self.name = data.name
        self.queue = data.queue or None
        self.failures_allowed = not link.latch.breaks
        self.within = reader.within
        self.jobs = [reader.pushed(one) for one in link.records if one.held is None]
        held: dict[On, list[Callback]] = {on: [] for on in On}
        for record in link.records:
            if record.held is not None:
                held[record.held].append(reader.callback(record))
        self.then = held[On.SUCCESS]
        self.catch = held[On.FAILURE]
        self.finally_ = held[On.END]

    def __repr__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f"batch{name} of {len(self.jobs)}: {'; '.join(map(repr, self.jobs))}"


class PushedChain:
    """A chain as it was recorded.

    ``links`` are its jobs and batches in their order; ``catch`` its callback: a job, a
    registered name, a function, or None.
    """

    def __init__(self, whole: Rest, reader: Reader) -> None:
        self.links = [_step(link, reader) for link in whole.links]
        self.catch = None if whole.catch is None else reader.callback(whole.catch)
        self.queue = whole.queue
        self.within = reader.within

    def __repr__(self) -> str:
        return " → ".join(map(repr, self.links))


class WantedLinks:
    """What an assertion is about: jobs in their order, a list of them for a batch."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._wanted = [_wanted(step) for step in steps]

    def are(self, links: Sequence[Pushed[Any] | PushedBatch]) -> bool:
        """Whether these are they, all of them and in this order."""
        return len(links) == len(self._wanted) and all(
            fits(link) for fits, link in zip(self._wanted, links, strict=True)
        )


def _wanted(step: Step) -> Callable[[Pushed[Any] | PushedBatch], bool]:
    if isinstance(step, (list, tuple)):
        members = WantedLinks(cast("Sequence[Step]", step))
        return lambda link: isinstance(link, PushedBatch) and members.are(link.jobs)
    if isinstance(step, Job):
        return lambda link: isinstance(link, Pushed) and _is(link, step)
    wanted = Wanted(cast("Kind", step))
    return lambda link: isinstance(link, Pushed) and bool(wanted.among([link]))


def _is(pushed: Pushed[Any], job: Job) -> bool:
    return pushed.is_of(type(job)) and pushed.job == job


def _step(link: Link, reader: Reader) -> Pushed[Any] | PushedBatch:
    if link.batch is not None:
        return PushedBatch(link.batch, reader)
    assert link.job is not None  # noqa: S101 - one of the two
    return reader.pushed(link.job)
