"""Giving back what the server handed out when nobody waited for it any more."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.redis import spreading
from asyncqueue.drivers.redis.moving import read_claims
from asyncqueue.drivers.redis.scripts import script
from asyncqueue.drivers.redis.wire import ReplyError
from asyncqueue.errors import DriverError
from asyncqueue.record import Settlement, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.redis.claiming import Told
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.drivers.redis.wire import Word
    from asyncqueue.record import Claim, Claimed

    Claiming = asyncio.Future[Claimed] | asyncio.Task[Claimed] | asyncio.Task[Told]

_EVALUATING: Final = ("EVALSHA", "EVAL")

log = logging.getLogger("asyncqueue.redis")


class GivingBack:
    """Waits for the claims of one handle that come too late, and returns them."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._tasks: set[asyncio.Task[None]] = set()
        self._unheard: list[tuple[Word, list[Any]]] = []

    def begin(self, claiming: Claiming) -> asyncio.Task[None]:
        """Return what this one claims, as soon as it is known."""
        task = asyncio.create_task(self._give_back(claiming))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def unheard(self, words: Sequence[Word], reply: Any) -> None:
        """A reply came to a command that was cut off."""
        is_claim = words[0] in _EVALUATING and words[1] in script("claim")
        if is_claim and not isinstance(reply, ReplyError):
            self._unheard.append((words[3], reply))

    async def cut_off(self) -> None:
        """Return what claims got that were cancelled themselves, as the end of a loop does.

        Replies come in order: all of theirs have come when the next one is there.
        """
        try:
            await self._shards.some(lambda shard: shard.call("PING"))
            while self._unheard:
                tag, reply = self._unheard.pop()
                shard = next(one for one in self._shards.all if one.tag == tag)
                claims = await read_claims(shard, reply)
                await spreading.settle(self._shards, [_unclaimed(claim) for claim in claims])
        except DriverError as error:
            log.warning("Claims that nobody waits for are left to their leases: %s", error)

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
