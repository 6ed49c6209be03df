"""One scheduler in this process: it starts, says so, and ends as signals tell it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final

from asyncqueue.cli.output import aligned
from asyncqueue.cli.reaching import store_reached
from asyncqueue.cli.signals import SIGNALS
from asyncqueue.cli.text import ago, escaped
from asyncqueue.version import __version__

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from asyncqueue.cli.banner import Speaker
    from asyncqueue.schedule import ScheduleEntry, Scheduler

PATIENCE: Final = 10.0
"""Seconds that what is being dispatched may take after a stop."""
LAST_RESORT: Final = 5.0
"""Seconds beyond that after which a blocked process is ended."""

log = logging.getLogger("asyncqueue.schedule")


class Service:
    """A scheduler between its start and its end."""

    def __init__(self, scheduler: Scheduler, speaker: Speaker) -> None:
        self._scheduler = scheduler
        self._speaker = speaker
        self._serving: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._reason = "its end"

    async def run(self) -> int:
        """Work until a signal; answers the exit code."""
        queue = self._scheduler.queue
        SIGNALS.bound(PATIENCE + LAST_RESORT, "Not ended in time: ended by force")
        SIGNALS.listen(asyncio.get_running_loop(), self._signalled)
        announce(self._speaker, self._scheduler)
        warn(self._scheduler)
        self._serving = asyncio.create_task(self._serve(), name="asyncqueue-serve")
        try:
            # Cancelled by a signal only, which is an end as good as any.
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving
        finally:
            await queue.close()
        self._speaker.say("stopped", f"Stopped ({self._reason}).", reason=self._reason)
        return 0

    async def _serve(self) -> None:
        queue = self._scheduler.queue
        if queue.driver.remote:
            await store_reached(queue)
        else:
            await queue.ping()
        await self._scheduler.start()
        self._speaker.say("ready", "Ready. Ctrl-C stops it.")
        await self._scheduler.run()

    def _signalled(self, number: signal.Signals, count: int) -> None:
        assert self._serving is not None  # noqa: S101 - run() listens and serves in one go
        self._reason = number.name
        if count > 1 or not self._scheduler.running:
            self._serving.cancel()
            return
        self._speaker.say("stopping", f"{number.name}: stopping.", signal=number.name)
        self._stopping = asyncio.create_task(self._scheduler.stop(PATIENCE))


def announce(speaker: Speaker, scheduler: Scheduler) -> None:
    """Say what this scheduler is going to do."""
    driver, entries = scheduler.queue.driver, scheduler.entries()
    headings, rows = entry_rows(entries)
    lines = [
        f"asyncqueue {__version__} schedule, pid {os.getpid()}",
        escaped(f"  driver       {driver.name} ({driver.location()})"),
        f"  entries      {len(entries)}",
        *(f"    {line}" for line in (aligned(headings, rows) if rows else [])),
    ]
    speaker.say("starting", "\n".join(lines), driver=driver.location(), entries=entries)


def entry_rows(entries: Sequence[ScheduleEntry]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of a table of entries."""
    headings = ("name", "expression", "timezone", "queue", "job", "next due", "")
    rows = [
        (
            entry.name,
            entry.expression,
            entry.timezone,
            entry.queue,
            entry.job,
            "never" if entry.next_due is None else f"{entry.next_due:%Y-%m-%d %H:%M:%S}",
            ago(entry.next_due),
        )
        for entry in entries
    ]
    return headings, rows


def warn(scheduler: Scheduler) -> None:
    """Warn of what is most likely a mistake."""
    if not scheduler.entries():
        log.warning("No entries: nothing will ever be due. Add one: scheduler.cron(…)")
    if scheduler.queue.driver.name == "memory":
        log.warning(
            "A memory:// queue lives in one process: no worker will ever see these jobs. Name a "
            "store: QUEUE_URL=sqlite:///queue.db, or give the scheduler to a Worker"
        )
