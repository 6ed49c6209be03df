"""Calls the ``failed`` hooks of jobs that failed for good, beside the jobs that run."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.execution.following import hook_ended
from asyncqueue.execution.report import call_failed_hook

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from asyncqueue.clock import Timer
    from asyncqueue.drivers.base import Driver
    from asyncqueue.execution.run import Run
    from asyncqueue.execution.verdict import Verdict

MOST_WAITING: Final = 10_000
"""Hooks that wait for their turn; what comes on top of them is not called."""
SAID_EVERY: Final = 1_000
"""Of how many hooks that are not called one is logged."""
UNWINDING: Final = 0.2
"""Seconds for cancelled hooks to unwind when the worker ends."""


class _Call(NamedTuple):
    """A hook that is to be called."""

    run: Run
    error: BaseException
    verdict: Verdict


class Hooks:
    """As many hooks at a time as the worker runs jobs, each no longer than its job may take.

    So hooks that hang, all of them, cost a bounded number of slots for a bounded time.
    ``on_followed`` is called when something that waited for a hook may begin.
    """

    def __init__(
        self,
        at_once: int,
        driver: Driver,
        log: logging.Logger,
        on_followed: Callable[[], None],
    ) -> None:
        self._at_once = at_once
        self._driver = driver
        self._log = log
        self._on_followed = on_followed
        self._waited_for = 0
        self._waiting: deque[_Call] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._cut_off: set[asyncio.Task[None]] = set()
        """Cancelled and without a slot; kept, for the loop does not keep its tasks."""
        self._uncalled = 0

    @property
    def waited_for(self) -> bool:
        """Whether something is to follow a hook that has not ended."""
        return self._waited_for > 0

    def call(self, run: Run, error: BaseException, verdict: Verdict) -> None:
        """Call the hook of this job, if it has one, as soon as a slot is free."""
        if not run.plan.has_failed_hook:
            return
        if len(self._waiting) < MOST_WAITING:
            self._waited_for += verdict.hook_job is not None
            self._waiting.append(_Call(run, error, verdict))
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
            self._waiting.clear()
        for hook in self._running:
            self._log.warning("A failed hook still runs after %g s; it is cancelled", patience)
            hook.cancel()
        if self._running:  # They may need the services, which leave next, to unwind.
            await asyncio.wait(self._running, timeout=UNWINDING)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._at_once:
            self._start(self._waiting.popleft())

    def _start(self, call: _Call) -> None:
        hook = asyncio.create_task(self._call(call))
        run, seconds = call.run, call.run.longest_hook
        timer = run.clock.call_later(seconds, lambda: self._cut(hook, run, seconds))
        self._running.add(hook)
        hook.add_done_callback(lambda _: self._ended(hook, timer))

    async def _call(self, call: _Call) -> None:
        try:
            await call_failed_hook(call.run, call.error, self._log)
        finally:
            if call.verdict.hook_job is not None:
                await hook_ended(call.verdict, self._driver, self._log)
                self._waited_for -= 1
                self._on_followed()

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
        self._start_waiting()

    def _ended(self, hook: asyncio.Task[None], timer: Timer) -> None:
        timer.cancel()
        self._cut_off.discard(hook)
        self._running.discard(hook)
        self._start_waiting()
