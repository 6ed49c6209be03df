"""A scheduler that lives inside of workers, from the start of the first to the end of the last."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import anyio

from asyncqueue.schedule import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

_carriers: Final[WeakKeyDictionary[Scheduler, int]] = WeakKeyDictionary()
"""How many workers carry a scheduler that one of them has started."""


def check_scheduler(value: Scheduler | None) -> Scheduler | None:
    """What a worker runs beside its jobs."""
    if value is not None and not isinstance(value, Scheduler):
        raise TypeError(f"scheduler must be a Scheduler, got {value!r}")
    return value


class Carrier:
    """One worker's hold on its scheduler.

    The first worker that carries it starts it, the last one ends it. One that runs already, because
    its owner started it, is left to its owner.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._holds = False
        self._ends = False

    def let_go(self) -> None:
        """The worker winds down: if nobody else carries it, no further slot is dispatched."""
        if not self._holds:
            return
        self._holds = False
        others = _carriers.pop(self._scheduler) - 1
        if others:
            _carriers[self._scheduler] = others
        else:
            self._ends = True
            self._scheduler.request_stop()

    @contextlib.asynccontextmanager
    async def carried(
        self, patience: Callable[[], float], on_broken: Callable[[], None]
    ) -> AsyncGenerator[None]:
        """Run the scheduler inside the block.

        What it is dispatching at the end may take ``patience`` seconds more. A fault of its own is
        told by ``on_broken`` and raised at the end of the block.
        """
        scheduler = self._scheduler
        if scheduler in _carriers or not scheduler.running or scheduler.ending:
            _carriers[scheduler] = _carriers.get(scheduler, 0) + 1
            self._holds = True
        try:
            if scheduler.ending:
                await scheduler.stop()  # Then it can start anew.
            await scheduler.start()
            running = asyncio.create_task(scheduler.ended(), name="asyncqueue-embedded-scheduler")
            running.add_done_callback(
                lambda ended: on_broken() if not ended.cancelled() and ended.exception() else None
            )
            yield
        finally:
            self.let_go()
            if self._ends:
                await self._end(patience())
        if self._ends:
            await asyncio.wait([running])
        if running.done() and not running.cancelled():
            running.result()

    async def _end(self, patience: float) -> None:
        try:
            await self._scheduler.stop(patience)
        except asyncio.CancelledError:  # Somebody has no more patience.
            with anyio.CancelScope(shield=True):
                await self._scheduler.stop(0)
            raise
