"""Looking after jobs, and operating queues."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from asyncqueue.clock import now_of
from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.events import QueueBusy, QueuePaused, QueueResumed
from asyncqueue.lanes import source_of, split_lane
from asyncqueue.options import check_queue
from asyncqueue.queue.access import Access
from asyncqueue.queue.explaining import Explanation, explain, gather
from asyncqueue.queue.info import (
    JobInfo,
    Page,
    QueueStats,
    RunningJob,
    WorkerInfo,
    check_page,
    job_info,
    queue_stats,
    running_job,
    worker_info,
)
from asyncqueue.record import FINISHED, WAITING, Filter, State, StoredJob
from asyncqueue.registry import fold
from asyncqueue.restarting import ask_to_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.drivers.base import Driver
    from asyncqueue.events import Event
    from asyncqueue.execution.skipping import Skipping

E = TypeVar("E", bound="Event")
_PROCESSING = Filter(states=(State.PROCESSING,))


class Operator(Access):
    """What operators ask of a queue."""

    skipping: Skipping
    """Ends jobs that wait, for calls of the queue and for its workers."""

    # Look

    async def size(self, queue: str) -> int:
        """Waiting jobs of a queue, or of one lane: ready and delayed, not running."""
        source = source_of(_named(queue))
        driver = await self.ready()
        return await driver.count(Filter(source=source, states=WAITING))

    async def status(self, id: str) -> JobInfo:
        """One job; :class:`~asyncqueue.errors.JobNotFound` if the store has no record of it."""
        return self._info(await self._find(id))

    async def jobs(
        self,
        *,
        queue: str | None = None,
        state: str | None = None,
        name: str | None = None,
        batch: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[JobInfo]:
        """A page of jobs, newest first; pass its ``next`` as ``cursor`` for the one after it.

        ``batch`` is the id of the batch whose jobs are meant.
        """
        check_page(limit, cursor=cursor)
        driver = await self.ready()
        which = Filter(
            source=source_of(queue) if queue else None,
            states=None if state is None else (_state(state),),
            name=fold(name) if name else None,
            latch=batch or None,
        )
        found = await driver.find(which, limit=limit, cursor=cursor)
        return Page([self._info(stored) for stored in found.items], found.next)

    async def monitor(self, *queues: str, threshold: int) -> dict[str, int]:
        """The sizes of those of these queues or lanes in which ``threshold`` jobs or more wait.

        Sends a ``QueueBusy`` event for each of them. Call it as often as you want to be told.
        """
        if not isinstance(threshold, int) or threshold < 1:
            raise ValueError(f"threshold must be a whole number from 1 up, got {threshold!r}")
        sizes = {queue: await self.size(queue) for queue in queues}
        busy = {queue: size for queue, size in sizes.items() if size >= threshold}
        for queue, size in busy.items():
            at = now_of(self.driver.clock)
            self.listeners.send(QueueBusy(at=at, queue=queue, size=size, threshold=threshold))
        return busy

    async def stats(self) -> dict[str, QueueStats]:
        """Counts by queue: of every queue with a record or a pause, and of the default one."""
        driver = await self.ready()
        counts = await driver.counts()
        paused = set(await driver.paused())
        names = sorted({*counts, *paused, split_lane(self.settings.default)[0]})
        return {name: queue_stats(counts.get(name), paused=name in paused) for name in names}

    async def workers(self) -> list[WorkerInfo]:
        """The live workers on this store, in whatever process."""
        driver = await self.ready()
        return [worker_info(presence) for presence in await driver.workers()]

    async def running(self) -> list[RunningJob]:
        """Every job that is being processed, in whatever process, those that began first, first.

        Workers tell three times a lease which line of source their jobs have got to.
        """
        driver = await self.ready()
        presences = {one.id: one for one in await driver.workers()}
        found: list[StoredJob] = []
        cursor: str | None = None
        while True:
            page = await driver.find(_PROCESSING, limit=500, cursor=cursor)
            found += page.items
            cursor = page.next
            if cursor is None:
                break
        found.sort(key=lambda job: job.started_at or 0.0)
        return [running_job(job, presences.get(job.worker or "")) for job in found]

    async def explain(self, id: str) -> Explanation:
        """Why a job is not running, or what became of it: a sentence and the facts behind it.

        Raises :class:`~asyncqueue.errors.JobNotFound` for an unknown id.
        """
        stored = await self._find(id)
        return explain(stored, await gather(await self.ready(), stored))

    async def wait_finished(self, id: str, timeout: Duration | None = None) -> StoredJob:
        """Wait until a job is finished; for :meth:`JobHandle.result`."""
        seconds = None if timeout is None else to_finite_seconds(timeout, "timeout")
        driver = await self.ready()
        stored = await self._find(id)
        if stored.state in FINISHED:  # Even with a timeout of 0.
            return stored
        try:
            async with asyncio.timeout(seconds):
                return await self._finished(driver, id)
        except TimeoutError:
            raise TimeoutError(
                f"Job {id} has not finished within {seconds} s; it goes on"
            ) from None

    async def _finished(self, driver: Driver, id: str) -> StoredJob:
        with driver.watch([f"job:{id}"]) as watch:
            while True:
                watch.clear()
                stored = await self._find(id)
                if stored.state in FINISHED:
                    return stored
                await watch.wait(self.settings.poll_interval)

    # Operate

    async def cancel(self, id: str) -> bool:
        """Cancel a job; answers whether it was still waiting or running.

        A waiting one ends as ``cancelled`` now. A running one is cancelled by its worker
        within about a second, without its ``failed`` hook. Raises
        :class:`~asyncqueue.errors.JobNotFound` for an unknown id.
        """
        driver = await self.ready_to_write("cancel()")
        stored = await self._find(id)
        met = await driver.cancel(Filter(ids=(id,)), self.settings.retention)
        state = met.get(id)
        if state in WAITING:
            self.skipping.tell_cancelled(stored)
            if stored.latch is not None:
                await self.skipping.tell_ended([stored.latch])
        return state in (*WAITING, State.PROCESSING)

    async def restart_workers(self, *ids: str) -> list[str]:
        """Ask workers to end after their current jobs, all live ones or those of these ids.

        Answers the ids of those that were asked. They end with success and ``stop_reason``
        ``"restart"``, for a supervisor to start new ones: ``asyncqueue worker --processes`` does.
        They hear of it three times a lease, so within ten seconds by default.
        """
        driver = await self.ready_to_write("restart_workers()")
        live = [worker.id for worker in await driver.workers()]
        asked = [id for id in live if not ids or id in ids]
        await ask_to_end(driver, asked)
        return asked

    async def clear(self, queue: str) -> int:
        """Remove the waiting jobs of a queue or lane; answers how many. Never failed records."""
        source = source_of(_named(queue))
        driver = await self.ready_to_write("clear()")
        batches = await self.skipping.unended()
        removed = await driver.delete(Filter(source=source, states=WAITING))
        await self.skipping.tell_ended(batches)
        return removed

    async def pause(self, queue: str) -> None:
        """Start nothing new from this queue, in any worker; what runs goes on."""
        for name in await self._pause(queue, on=True):
            self.listeners.send(QueuePaused(at=now_of(self.driver.clock), queue=name))

    async def resume(self, queue: str) -> None:
        """Undo :meth:`pause`."""
        for name in await self._pause(queue, on=False):
            self.listeners.send(QueueResumed(at=now_of(self.driver.clock), queue=name))

    async def paused(self) -> list[str]:
        """The names of the paused queues."""
        return await (await self.ready()).paused()

    def on(
        self, event_type: type[E], listener: Callable[[E], Awaitable[None] | object]
    ) -> Callable[[], None]:
        """Call ``listener`` for these events of this queue object and its workers.

        A coroutine function runs beside the jobs; a plain one at once, so it must be quick.
        Answers a function that ends it.
        """
        return self.listeners.on(event_type, listener)

    async def _pause(self, queue: str, *, on: bool) -> list[str]:
        name, lane = split_lane(_named(queue))
        if lane is not None:
            raise ValueError(f'Only whole queues can be paused: use "{name}", not {queue!r}')
        driver = await self.ready_to_write("pause()" if on else "resume()")
        return await driver.pause([name], on)

    def _info(self, stored: StoredJob) -> JobInfo:
        return job_info(stored, self.registry, self.seal, self.settings.max_attempts)


def _named(queue: str) -> str:
    name = check_queue(queue)
    if name is None:
        raise ValueError(f'say which queue, such as "default"; got {queue!r}')
    return name


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise ValueError(f"state must be one of {', '.join(State)}; got {text!r}") from None
