"""A chain while it is being built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from asyncqueue.options import check_queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.queue.handle import JobHandle
    from asyncqueue.queue.linker import Callback


class ChainDispatching(Protocol):
    """The queue that a chain was built on."""

    async def dispatch_chain(
        self, jobs: Sequence[Any], queue: str | None, catch: Any, within: object | None
    ) -> JobHandle[Any]:
        """Store a chain."""
        ...


class Chain:
    """Jobs that run one after the other, each once the one before has completed.

    Only the first is stored by :meth:`dispatch`; the rest travels with it, so it survives
    whatever the store survives. A link may be a :class:`Batch`.
    """

    def __init__(self, queue: ChainDispatching, jobs: Sequence[Any]) -> None:
        self._queue = queue
        self.jobs = list(jobs)
        self.queue_name: str | None = None
        self.catch_callback: Callback | None = None

    def on_queue(self, queue: str) -> Self:
        """Run all links on this queue but those that say their own."""
        self.queue_name = check_queue(queue)
        return self

    def catch(self, callback: Callback) -> Self:
        """Run this once when a link has failed for good, after the job's ``failed`` hook.

        A job, a name given to :func:`~asyncqueue.register_callback`, or, on in-process drivers, a
        function, which is called with the error. Raises ``ValueError`` for a second one.
        """
        if self.catch_callback is not None:
            raise ValueError("This chain has a catch already; one is called for all its links.")
        self.catch_callback = callback
        return self

    async def dispatch(self, within: object | None = None) -> JobHandle[Any]:
        """Store the chain; answers the handle of its first job.

        ``within`` is as for ``Queue.dispatch``. Raises ``ValueError`` for a chain without jobs and
        what ``Queue.dispatch`` raises; nothing is stored then.
        """
        return await self._queue.dispatch_chain(
            self.jobs, self.queue_name, self.catch_callback, within
        )
