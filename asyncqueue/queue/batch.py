"""A batch while it is being built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from asyncqueue.ids import new_id
from asyncqueue.options import check_queue
from asyncqueue.queue.linker import BatchPlan
from asyncqueue.record import On

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.batch import BatchInfo
    from asyncqueue.queue.linker import Callback


class BatchDispatching(Protocol):
    """The queue that a batch was built on."""

    async def dispatch_batch(self, plan: BatchPlan, within: object | None) -> BatchInfo:
        """Store a batch."""
        ...


class Batch:
    """Jobs that end together, built step by step and stored by :meth:`dispatch`.

    Every option is optional. A callback is a job, which is dispatched once; a name given to
    :func:`~asyncqueue.register_callback`; or, on in-process drivers, a function.
    """

    def __init__(self, queue: BatchDispatching, jobs: Sequence[Any]) -> None:
        self._queue = queue
        self.plan = BatchPlan(new_id(), list(jobs))

    @property
    def id(self) -> str:
        """Its id, known before it is dispatched."""
        return self.plan.id

    def then(self, callback: Callback) -> Self:
        """Run this when every job has completed."""
        return self._call(On.SUCCESS, callback)

    def catch(self, callback: Callback) -> Self:
        """Run this once, when the first job has failed for good."""
        return self._call(On.FAILURE, callback)

    def finally_(self, callback: Callback) -> Self:
        """Run this once nothing is pending, after ``then`` and ``catch`` have ended."""
        return self._call(On.END, callback)

    def allow_failures(self) -> Self:
        """Let the other jobs run when one fails, instead of skipping those that wait."""
        self.plan.failures_allowed = True
        return self

    def on_queue(self, queue: str) -> Self:
        """Dispatch all its jobs on this queue, whatever they say themselves."""
        self.plan.queue = check_queue(queue)
        return self

    def named(self, name: str) -> Self:
        """Give it a name for people to read."""
        if not isinstance(name, str):
            raise TypeError(f"A batch is named by a text, got {name!r}")
        self.plan.name = name
        return self

    async def dispatch(self, within: object | None = None) -> BatchInfo:
        """Store all jobs and callbacks, or none; durable when this returns.

        ``within`` is as for ``Queue.dispatch``. Raises ``ValueError`` for a batch without jobs or
        dispatched before, ``TypeError`` naming the position of what is no job, and what
        ``Queue.dispatch`` raises.
        """
        return await self._queue.dispatch_batch(self.plan, within)

    def _call(self, on: On, callback: Callback) -> Self:
        self.plan.callbacks.append((on, callback))
        return self
