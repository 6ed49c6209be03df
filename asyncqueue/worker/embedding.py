"""A scheduler that lives inside a worker, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from asyncqueue.schedule import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


def check_scheduler(value: Scheduler | None) -> Scheduler | None:
    """What a worker runs beside its jobs."""
    if value is not None and not isinstance(value, Scheduler):
        raise TypeError(f"scheduler must be a Scheduler, got {value!r}")
    return value


@contextlib.asynccontextmanager
async def embedded(
    scheduler: Scheduler, patience: Callable[[], float], on_broken: Callable[[], None]
) -> AsyncGenerator[None]:
    """Run the scheduler inside the block.

    What it is dispatching at the end may take ``patience`` seconds more. A fault of its own is
    told by ``on_broken`` and raised at the end of the block.
    """
    await scheduler.start()
    running = asyncio.create_task(scheduler.ended(), name="asyncqueue-embedded-scheduler")
    running.add_done_callback(
        lambda ended: on_broken() if not ended.cancelled() and ended.exception() else None
    )
    try:
        yield
    finally:
        try:
            await scheduler.stop(patience())
        except asyncio.CancelledError:  # Somebody has no more patience.
            running.cancel()
            raise
        finally:
            await asyncio.wait([running])
    if not running.cancelled():
        running.result()
