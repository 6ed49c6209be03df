"""Waiting at the start of a process for a store that does not answer yet."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncqueue.errors import AccessDenied, DriverUnavailable
from asyncqueue.worker.outage import Outage

if TYPE_CHECKING:
    from asyncqueue.queue import Queue

FIRST_PAUSE: Final = 0.5
"""Seconds between the first two tries to reach a server at the start; later ones grow."""

log = logging.getLogger("asyncqueue.worker")


async def store_reached(queue: Queue) -> None:
    """Return when the store answers, however long that takes; raises what time does not mend."""
    outage = Outage("reach the store", FIRST_PAUSE, log)
    while True:
        try:
            await queue.ping()
        except AccessDenied:
            raise
        except DriverUnavailable as error:
            await asyncio.sleep(outage.failed(error))
        else:
            outage.over()
            return
