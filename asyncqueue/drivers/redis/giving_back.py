"""Giving back what the server handed out when nobody waited for it any more."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from asyncqueue.drivers.redis import spreading
from asyncqueue.errors import DriverError
from asyncqueue.record import Settlement, State

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.claiming import Told
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.record import Claim, Claimed

    Claiming = asyncio.Future[Claimed] | asyncio.Task[Told]

log = logging.getLogger("asyncqueue.redis")


class GivingBack:
    """Waits for the claims of one handle that come too late, and returns them."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, claiming: Claiming) -> None:
        """Return what this one claims, as soon as it is known."""
        task = asyncio.create_task(self._give_back(claiming))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ended(self) -> None:
        """Return when all that came too late in this event loop was given back."""
        loop = asyncio.get_running_loop()
        here = {task for task in self._tasks if task.get_loop() is loop}
        if here:
            await asyncio.wait(here)

    def forget(self) -> None:
        """They are those of another process."""
        self._tasks = set()

    async def _give_back(self, claiming: Claiming) -> None:
        try:
            claims = (await claiming).claims
            await spreading.settle(self._shards, [_unclaimed(claim) for claim in claims])
        except DriverError as error:
            log.warning("Claims that nobody waits for are left to their leases: %s", error)


def _unclaimed(claim: Claim) -> Settlement:
    """As if it had not been claimed; only the token remembers."""
    return Settlement(
        claim.id, claim.token, State.PENDING, claim.attempts - 1, exceptions=claim.exceptions
    )
