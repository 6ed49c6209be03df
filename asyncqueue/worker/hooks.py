"""Calls the ``failed`` hooks of jobs that failed for good, beside the jobs that run."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Final

from asyncqueue.execution.report import call_failed_hook

if TYPE_CHECKING:
    import logging

    from asyncqueue.clock import Timer
    from asyncqueue.execution.run import Run

LONGEST: Final = 30.0
"""Seconds for a hook where neither its job nor the worker has a timeout."""
MOST_WAITING: Final = 10_000
"""Hooks that wait for their turn; what comes on top of them is not called."""
SAID_EVERY: Final = 1_000
"""Of how many hooks that are not called one is logged."""
UNWINDING: Final = 0.2
"""Seconds for cancelled hooks to unwind when the worker ends."""


class Hooks:
    """As many hooks at a time as the worker runs jobs, each no longer than its job may take.

    So hooks that hang, all of them, cost a bounded number of slots for a bounded time.
    """

    def __init__(self, at_once: int, timeout: float, log: logging.Logger) -> None:
        self._at_once = at_once
        self._timeout = timeout
        self._log = log
        self._waiting: deque[tuple[Run, BaseException]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._cut_off: set[asyncio.Task[None]] = set()
        """Cancelled and without a slot; kept, for the loop does not keep its tasks."""
        self._uncalled = 0
        self._over: dict[str, asyncio.Event] = {}

    async def over(self, job_id: str) -> None:
        """Return when the hook of this job, if it is to be called or runs, has ended."""
        if job_id in self._over:
            await self._over[job_id].wait()

    def call(self, run: Run, error: BaseException) -> None:
        """Call the hook of this job, if it has one, as soon as a slot is free."""
        if not run.plan.has_failed_hook:
            return
        if len(self._waiting) < MOST_WAITING:
            self._over[run.claim.id] = asyncio.Event()
            self._waiting.append((run, error))
            self._start_waiting()
            return
        if self._uncalled % SAID_EVERY == 0:
            self._log.error(
                "%s.failed is not called for job %s: %d hooks wait already (%d left out before)",
                run.claim.name,
                run.claim.id,
                MOST_WAITING,
                self._uncalled,
            )
        self._uncalled += 1

    async def finished(self) -> None:
        """Return when all were called and have ended."""
        while self._running:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)

    async def give_up(self, patience: float) -> None:
        """Cancel what still runs after these seconds, and call no more."""
        if self._waiting:
            self._log.error("%d failed hooks were not called in %g s", len(self._waiting), patience)
            for run, _ in self._waiting:
                self._say_over(run)
            self._waiting.clear()
        for hook in self._running:
            self._log.warning("A failed hook still runs after %g s; it is cancelled", patience)
            hook.cancel()
        if self._running:  # They may need the services, which leave next, to unwind.
            await asyncio.wait(self._running, timeout=UNWINDING)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._at_once:
            self._start(*self._waiting.popleft())

    def _start(self, run: Run, error: BaseException) -> None:
        hook = asyncio.create_task(call_failed_hook(run, error, self._log))
        seconds = self._bound(run)
        timer = run.clock.call_later(seconds, lambda: self._cut(hook, run, seconds))
        self._running.add(hook)
        hook.add_done_callback(lambda _: self._ended(hook, timer, run))

    def _bound(self, run: Run) -> float:
        bounds = (run.timeout, self._timeout, LONGEST)
        return next(seconds for seconds in bounds if seconds < math.inf)

    def _cut(self, hook: asyncio.Task[None], run: Run, seconds: float) -> None:
        """Its time is over: others need the slot, whether it heeds its cancellation or not."""
        self._log.error(
            "%s.failed of job %s is cut off after %g s: a coroutine is cancelled, a plain function "
            "runs on in its thread",
            run.claim.name,
            run.claim.id,
            seconds,
        )
        self._running.discard(hook)
        self._cut_off.add(hook)
        hook.cancel()
        self._say_over(run)
        self._start_waiting()

    def _say_over(self, run: Run) -> None:
        over = self._over.pop(run.claim.id, None)
        if over is not None:
            over.set()

    def _ended(self, hook: asyncio.Task[None], timer: Timer, run: Run) -> None:
        timer.cancel()
        self._say_over(run)
        self._cut_off.discard(hook)
        self._running.discard(hook)
        self._start_waiting()
