"""The worker: what its owner holds. What it does while it works is in :mod:`.shift`."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio

from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.ids import new_id
from asyncqueue.options import check_middleware
from asyncqueue.services import Services
from asyncqueue.worker.embedding import check_scheduler
from asyncqueue.worker.logs import worker_log
from asyncqueue.worker.options import (
    Queues,
    check_handler,
    check_prefetch,
    check_queue_object,
    check_unknown_jobs,
    defaults_of,
    limits_of,
    pools_of,
    timing_of,
)
from asyncqueue.worker.shift import LAST_BREATH, Shift

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping, Sequence

    from asyncqueue.options import BackoffOption
    from asyncqueue.queue import Queue
    from asyncqueue.record import State
    from asyncqueue.schedule import Scheduler

_inside: ContextVar[Worker | None] = ContextVar("asyncqueue_worker", default=None)


class Worker:
    """Runs the jobs of some queues: ``await worker.run()``, or ``async with worker``.

    ``queues``: a list is served strictly in its order by shared slots, a mapping gives each
    queue its own number of slots; the settings' default queue otherwise. ``emails:high`` is
    one lane of a queue. Options that are not given come from the queue's settings:

    - ``concurrency`` (10): jobs at a time; 0 or less is ignored, 10,000 is the most.
    - ``poll_interval`` (0.1 s): how often to look where no wake-up comes.
    - ``timeout`` (30 s), ``max_attempts`` (3), ``backoff`` (``exponential(1, 300)``): for jobs
      that do not say.
    - ``lease`` (30 s): how soon another worker may take over after a crash. Renewed every
      third of it while a job runs, also while the event loop is blocked.
    - ``grace`` (0 s): how long jobs may run on after a stop before they are cancelled.
    - ``drain_timeout`` (5 s): how long a cancelled handler, or a plain one, may take to
      unwind; None is without bound.
    - ``prefetch`` (0): jobs to claim beyond the free slots.
    - ``max_jobs``, ``max_time``, ``max_memory_mb``, ``stop_when_empty``: end after the current
      jobs; ``stop_reason`` tells which it was.
    - ``handler``: called with the job instead of the own ``handle`` of plain jobs.
    - ``unknown_jobs``: ``"fail"`` puts kinds that nobody registered into the failed store,
      ``"release"`` back on the queue with a delay.
    - ``logger``: without one, errors are shown on stderr.
    - ``services``, ``middleware``: added to the queue's.
    - ``scheduler``: runs while the worker takes jobs.

    Raises ``ValueError`` or ``TypeError`` for options that cannot be understood.
    """

    def __init__(  # noqa: PLR0913 - the options of the contract
        self,
        queue: Queue,
        queues: Queues | None = None,
        *,
        concurrency: int | None = None,
        poll_interval: Duration | None = None,
        timeout: Duration | None = None,
        max_attempts: int | None = None,
        backoff: BackoffOption | None = None,
        lease: Duration | None = None,
        grace: Duration | None = None,
        drain_timeout: Duration | None = 5.0,
        prefetch: int = 0,
        max_jobs: int | None = None,
        max_time: Duration | None = None,
        max_memory_mb: float | None = None,
        stop_when_empty: bool = False,
        handler: Callable[[Any], Any] | None = None,
        unknown_jobs: Literal["fail", "release"] = "fail",
        logger: logging.Logger | None = None,
        services: Sequence[Any] | Mapping[str, Any] = (),
        middleware: Sequence[Callable[..., Any]] = (),
        scheduler: Scheduler | None = None,
    ) -> None:
        settings = check_queue_object(queue).settings
        self.id = new_id()
        self.queue = queue
        self.pools = pools_of(queues, concurrency, settings)
        self.defaults = defaults_of(timeout, max_attempts, backoff, settings)
        self.timing = timing_of(
            settings,
            poll_interval=poll_interval,
            lease=lease,
            grace=grace,
            drain_timeout=drain_timeout,
        )
        self.limits = limits_of(max_jobs, max_time, max_memory_mb, stop_when_empty=stop_when_empty)
        self.prefetch = check_prefetch(prefetch)
        self.handler = check_handler(handler)
        self.unknown_jobs: Literal["fail", "release"] = check_unknown_jobs(unknown_jobs)
        self.middleware = check_middleware(middleware)
        self.services = Services(queue.services, services)
        self.scheduler = check_scheduler(scheduler)
        self.log = worker_log(logger)
        self.stop_reason = ""
        self._shift: Shift | None = None
        self._main: asyncio.Task[None] | None = None
        self._starting: asyncio.Lock | None = None

    @property
    def concurrency(self) -> int:
        """How many jobs it runs at a time."""
        return sum(pool.slots for pool in self.pools)

    @property
    def queues(self) -> list[str]:
        """The names it serves."""
        return [name for pool in self.pools for name in pool.names]

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended yet."""
        return self._main is not None and not self._main.done()

    @property
    def totals(self) -> Counter[State]:
        """How many attempts ended in which state since the start: ``pending`` came back."""
        return Counter() if self._shift is None else self._shift.totals

    @property
    def busy(self) -> int:
        """How many jobs it is running."""
        return 0 if self._shift is None else self._shift.busy

    # Life

    async def start(self) -> None:
        """Start it and return; harmless when it runs. It can be started again after its end.

        Raises :class:`~asyncqueue.errors.DriverUnavailable` when the store cannot be reached.
        """
        if self._starting is None or not self._starting.locked():
            self._starting = asyncio.Lock()
        async with self._starting:
            if not self.running:
                await self._start()

    async def _start(self) -> None:
        driver = await self.queue.ready()
        await driver.ping()
        self.stop_reason = ""
        variables = contextvars.copy_context()
        variables.run(_inside.set, self)
        shift = Shift(self, variables)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shift = shift
        self._main = asyncio.create_task(
            self._live(shift, started), name="asyncqueue-worker", context=variables.copy()
        )
        # What it raises was logged, and whoever waits for its end is told; nobody has to.
        self._main.add_done_callback(lambda main: main.cancelled() or main.exception())
        self.queue.attach(self)
        try:
            await asyncio.wait([self._main, started], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # Nobody would be left to stop it.
            self._request_stop("cancelled")
            await self._ended_despite_cancellation()
            raise
        if not started.done():
            started.cancel()
            await self._ended()

    async def run(self) -> None:
        """Start it and return when it has ended: stopped, at a limit, or cancelled.

        A cancellation of this call is a stop: it returns normally after the shutdown. A second
        one skips the rest of the grace.
        """
        task = asyncio.current_task()
        cancelled_before = 0 if task is None else task.cancelling()
        try:
            await self.start()
            await self._ended()
        except asyncio.CancelledError:
            self._request_stop("cancelled")
            await self._ended_despite_cancellation()
            while task is not None and task.cancelling() > cancelled_before:
                task.uncancel()  # It was heard, and ends here.

    async def stop(self, timeout: Duration | None = None) -> None:
        """Take no more jobs, cancel what still runs after the grace, return when all ended.

        ``timeout`` seconds bound the whole of it. Harmless when it does not run, and when called
        twice. From inside one of its own jobs, hooks or listeners it asks for the stop and
        returns at once.
        """
        if not self.running:
            return
        self._request_stop("stop")
        await self._stopped(timeout)

    async def finish(self, timeout: Duration) -> None:
        """As :meth:`stop` with a timeout, but jobs are cancelled at the end of it, not before."""
        if not self.running:
            return
        self._request_stop("stop", grace=to_finite_seconds(timeout, "timeout"))
        await self._stopped(timeout)

    def hurry(self) -> None:
        """Skip the rest of the grace: what a second signal does."""
        if self._shift is not None:
            self._shift.hurry()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # The shield keeps an enclosing cancel scope from cancelling this wait over and over.
        with anyio.CancelScope(shield=True):
            await self.stop()

    def inside(self) -> bool:
        """Whether the caller runs inside one of its jobs."""
        return _inside.get() is self

    # For the shift

    def torn_down(self) -> bool:
        """Whether the event loop is being closed around the worker."""
        return self._main is not None and self._main.cancelling() > 0

    # Inside

    async def _live(self, shift: Shift, started: asyncio.Future[None]) -> None:
        try:
            await shift.work(started)
        except Exception:
            if started.done():  # Else whoever started it is told.
                self.log.critical("Worker %s ended by a fault of its own", self.id, exc_info=True)
            raise
        finally:
            self.queue.detach(self)
            await self.queue.listeners.drained(shift.patience())
            self.log.info("Worker %s ended", self.id)

    def _request_stop(self, reason: str, grace: float | None = None) -> None:
        if self._shift is None or self._main is None or not self.running:
            return
        self._shift.stop(reason, self.timing.grace if grace is None else grace)
        if not self._shift.started:
            self._main.cancel()  # A service may take for ever to be entered.

    async def _stopped(self, timeout: Duration | None) -> None:
        if self.inside() or self.queue.listeners.hearing():
            return
        if timeout is not None:
            await self._ended(max(to_finite_seconds(timeout, "timeout"), 0.0))
            if self.running and self._shift is not None:
                await self._shift.give_up()
                await self._force_end()
        else:
            await self._ended()

    async def _force_end(self) -> None:
        """Nothing runs any more: cancel services and listeners that take too long to end."""
        await self._ended(2 * LAST_BREATH)
        for _ in range(3):
            if self._main is not None and self.running:
                self.log.warning("Worker %s does not wait for services and listeners", self.id)
                self._main.cancel()
                await self._ended(LAST_BREATH)

    async def _ended(self, timeout: float | None = None) -> None:
        if self._main is not None:
            await asyncio.wait([self._main], timeout=timeout)
            if self._main.done() and not self._main.cancelled():
                self._main.result()

    async def _ended_despite_cancellation(self) -> None:
        # The shield keeps an enclosing cancel scope from cancelling this wait over and over.
        with anyio.CancelScope(shield=True):
            while self.running:
                try:
                    await self._ended()
                except asyncio.CancelledError:
                    if self._main is not None and self._main.cancelled():
                        raise
                    self.hurry()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Worker {self.id} on {', '.join(self.queues)} {state}>"
