"""One worker in this process: it starts, says so, and ends as signals and limits tell it."""

from __future__ import annotations

import asyncio
import difflib
import logging
import os
from typing import TYPE_CHECKING, Final

from asyncqueue.cli.banner import Speaker, announce, farewell
from asyncqueue.cli.reaching import FIRST_PAUSE, store_reached
from asyncqueue.cli.signals import SIGNALS
from asyncqueue.cli.text import counted, duration
from asyncqueue.errors import AccessDenied, AsyncQueueError, DriverUnavailable
from asyncqueue.events import WorkerStarted
from asyncqueue.lanes import split_lane
from asyncqueue.worker.outage import Outage

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Coroutine

    from asyncqueue.worker import Worker

MEMORY: Final = 12
"""Exit code of a worker that reached its memory limit."""
RECYCLE: Final = 13
"""Exit code by which a child tells its supervisor that it ended as it was meant to."""
LAST_RESORT: Final = 5.0
"""Seconds beyond all bounds after which a blocked process is ended."""
_REASONS: Final = {
    "max_jobs": "reached --max-jobs",
    "max_time": "reached --max-time",
    "max_memory": "reached --max-memory",
    "empty": "the queues are empty",
    "restart": "a restart was asked for",
}

log = logging.getLogger("asyncqueue.worker")


class Service:
    """A worker between its start and its end."""

    def __init__(
        self, worker: Worker, speaker: Speaker, loop: str, *, child: bool, brief: bool, ready: int
    ) -> None:
        self._worker = worker
        self._speaker = speaker
        self._loop = loop
        self._child = child
        self._brief = brief
        self._ready = ready
        self._signal: signal.Signals | None = None
        self._running: asyncio.Task[None] | None = None
        self._duties: set[asyncio.Task[None]] = set()
        self._listening: Callable[[], None] = lambda: None
        self._ready_to_work = False

    async def run(self) -> int:
        """Work until a signal or a limit; answers the exit code."""
        worker, queue = self._worker, self._worker.queue
        self._bound()
        SIGNALS.listen(asyncio.get_running_loop(), self._signalled)
        announce(self._speaker, worker, self._loop, brief=self._brief)
        warn(worker)
        self._listening = queue.on(WorkerStarted, lambda _: self._started())
        self._running = asyncio.create_task(self._serve(), name="asyncqueue-serve")
        try:
            await self._running
        except asyncio.CancelledError:
            if self._signal is None:
                raise
            # By a signal that came before it took its first step.
        finally:
            await queue.close()
        reason = self._reason()
        farewell(self._speaker, worker, reason)
        return self._code(worker.stop_reason)

    async def _serve(self) -> None:
        worker, outage = self._worker, Outage("begin to work", FIRST_PAUSE, log)
        while self._waits_for_store():
            try:
                await store_reached(worker.queue)
                return await worker.run()
            except asyncio.CancelledError:  # By a signal: nothing was started yet.
                return None
            except DriverUnavailable as error:
                if self._ready_to_work or isinstance(error, AccessDenied):
                    raise
                # It answered, and went away before the worker had started.
                await asyncio.sleep(outage.failed(error))
        return await worker.run()

    def _waits_for_store(self) -> bool:
        """Whether a store that is away is waited for, instead of giving up with exit code 1.

        A server comes back by itself, and whoever restarts the process would give up sooner. A
        directory that is missing does not; and who wants this to end wants no wait without end.
        """
        return self._worker.queue.driver.remote and not self._worker.limits.stop_when_empty

    def _started(self) -> None:
        # Nobody else may listen, and a queue without listeners need not make events.
        self._listening()
        self._ready_to_work = True
        how = "" if self._child else " Ctrl-C stops it."
        self._speaker.say("ready", f"Ready.{how}", queues=self._worker.queues)
        if self._ready >= 0:
            os.write(self._ready, b"1")
            os.close(self._ready)
        self._start(self._look_for_strays())

    async def _look_for_strays(self) -> None:
        """Warn of a queue that no job was ever sent to, where its name resembles a known one."""
        try:
            known = set(await self._worker.queue.stats())
        except AsyncQueueError as error:
            log.debug("Cannot look which queues there are: %s", error)
            return
        for name in self._worker.queues:
            stem = split_lane(name)[0]
            close = difflib.get_close_matches(stem, known - {stem}, n=1, cutoff=0.7)
            if stem not in known and close:
                log.warning(
                    'No job was ever sent to the queue "%s". Did you mean "%s"?', stem, close[0]
                )

    def _signalled(self, number: signal.Signals, count: int) -> None:
        worker = self._worker
        if count > 1:
            self._speaker.say("hurrying", f"{number.name}: handing running jobs back now.")
            worker.hurry()
            return
        self._signal = number
        self._speaker.say("stopping", self._parting(number), signal=number.name)
        if worker.running:
            self._start(worker.stop())
        elif self._running is not None:
            self._running.cancel()

    def _parting(self, number: signal.Signals) -> str:
        busy, timing = self._worker.busy, self._worker.timing
        if not busy:
            return f"{number.name}: stopping."
        longest = None if timing.drain is None else timing.grace + timing.drain
        bound = "as long as it takes" if longest is None else f"up to {duration(longest)}"
        hurry = " The same again hands them back at once." if timing.grace else ""
        return f"{number.name}: stopping; {counted(busy, 'job')} running, waiting {bound}.{hurry}"

    def _bound(self) -> None:
        timing = self._worker.timing
        if timing.drain is not None:
            # Settling what ended has the same bound once more, and a few seconds at least.
            seconds = timing.grace + timing.drain + max(timing.drain, 5.0) + LAST_RESORT
            SIGNALS.bound(seconds, f"Not ended within {duration(seconds)}: ended by force")

    def _start(self, duty: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(duty)
        self._duties.add(task)
        task.add_done_callback(self._duties.discard)

    def _reason(self) -> str:
        if self._signal is not None:
            return self._signal.name
        return _REASONS.get(self._worker.stop_reason, self._worker.stop_reason)

    def _code(self, reason: str) -> int:
        if self._signal is not None:
            return 0
        if reason == "max_memory":
            return MEMORY
        return RECYCLE if self._child and reason in ("max_jobs", "max_time", "restart") else 0


def warn(worker: Worker) -> None:
    """Warn of what is most likely a mistake."""
    if not len(worker.queue.registry):
        log.warning(
            "No job class is registered, so every job would fail as unknown. Import the modules "
            "that define them: --import app.jobs"
        )
    if worker.queue.driver.in_process:
        log.warning(
            "A %s:// queue lives in one process: only jobs that this process dispatches itself "
            "are seen here. Name a store: QUEUE_URL=sqlite:///queue.db",
            worker.queue.driver.name,
        )
