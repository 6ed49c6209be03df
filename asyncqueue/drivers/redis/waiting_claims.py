"""Claims that wait at the server for the next job.

To wake a worker and to let it ask takes longer than all else between a dispatch and a start. So
one that found nothing more sends its next claim ahead, on a connection of its own, behind a command
that blocks until somebody stands in the list from which its last job came: BLMOVE of the first to
where it stands, which changes nothing. When a script has put a job there, the server itself goes on
with the claim, before the worker knows of anything.

Such a claim is for one job, and waits for a second at the most. A worker that is suspended then, or
cut off, may keep one job from the others until its lease runs out: one that comes while the command
blocks, which is no longer than the worker's poll interval.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncqueue.drivers.redis.moving import read_claims, time_of, words_of
from asyncqueue.drivers.redis.wire import ConnectionEndedError, ReplyError, Wire
from asyncqueue.errors import DriverError
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.drivers.redis.claiming import Wish
    from asyncqueue.drivers.redis.connecting import Router
    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.watches import Watch
    from asyncqueue.record import Claim, Source

    Sources = tuple[Source, ...]

LONGEST: Final = 1.0
SHORTEST: Final = 0.001
"""Seconds for which a claim waits; 0 would mean without end to the server."""
LAST_WORD: Final = 1.0
"""Seconds for which a cancelled wait holds up whoever cancelled it."""
LONGEST_LOOK: Final = 0.1
"""Seconds after which a claim is unblocked again that was not there yet, at the most."""
PAUSE: Final = 30.0
"""Seconds until a connection is tried again that could not be made."""
MOST_KEPT: Final = 64
"""Lists of sources of which is known where their last job came from."""

log = logging.getLogger("asyncqueue.redis")


class Place(NamedTuple):
    """Where jobs of one queue and priority stand that are due when they come."""

    queue: str
    priority: int

    def is_all_of(self, topic: str, told: bytes) -> bool:
        """Whether a ring told of jobs that came to this place, and of nothing else."""
        words = told.split()
        return (
            len(words) == 2  # noqa: PLR2004 - priority and how many, for each place
            and words[0] == b"%d" % self.priority
            and topic == f"queue:{self.queue}"
        )


class Waiting(NamedTuple):
    """A claim that was sent ahead."""

    wire: Wire
    blocked: asyncio.Future[Any]
    claimed: asyncio.Future[Any]


class Post:
    """The connection of one watch, on which its claims wait."""

    def __init__(self, connecting: asyncio.Task[tuple[Wire, int]]) -> None:
        self.leftover: asyncio.Task[None] | None = None
        """Gives back what a claim got whose waiter is gone."""
        self._connecting = connecting

    @property
    def is_over(self) -> bool:
        """Whether it could not be made, or has ended."""
        connecting = self._connecting
        if not connecting.done():
            return False
        return (
            connecting.cancelled()
            or connecting.exception() is not None
            or not connecting.result()[0].open
        )

    @property
    def ready(self) -> tuple[Wire, int] | None:
        """The connection and how the server calls it, once it is there."""
        return None if self.is_over or not self._connecting.done() else self._connecting.result()

    def close(self) -> None:
        """Close the connection, on the event loop that it belongs to, once nothing is to come."""
        loop = self._connecting.get_loop()
        if self.leftover is not None and not self.leftover.done() and not loop.is_closed():
            self.leftover.add_done_callback(lambda _: self._close())
        elif loop is asyncio.get_running_loop():
            self._close()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        self._connecting.cancel()
        if (ready := self.ready) is not None:
            ready[0].give_up(ConnectionEndedError("the connection was closed here"))


class WaitingClaims:
    """Those of one handle, for the only shard. ``give_back`` returns what came too late."""

    def __init__(
        self,
        router: Router,
        scripts: Scripts,
        give_back: Callable[[asyncio.Task[Claimed]], asyncio.Task[None]],
    ) -> None:
        self._router = router
        self._scripts = scripts
        self._give_back = give_back
        self._places: dict[Sources, Place] = {}
        """Where the last job of these sources came from."""
        self._served: dict[Sources, tuple[Watch, Place]] = {}
        """Who has a claim waiting for a place, or had one and has not looked again since."""
        self._withheld: dict[Watch, Place] = {}
        """Who was not rung for what came to a place, since he last had a claim sent there."""
        self._posts: dict[Watch, Post] = {}
        self._refused = False
        self._not_before = 0.0

    def looks(self, sources: Sequence[Source]) -> None:
        """Somebody claims from these: from now on he has to hear of all that comes."""
        if self._served:
            self._served.pop(tuple(sources), None)

    def found(self, sources: Sequence[Source], claim: Claim) -> None:
        """The last of the jobs that somebody claimed from these."""
        if len(self._places) >= MOST_KEPT:
            self._places.clear()
        self._places[tuple(sources)] = Place(claim.queue, claim.priority)

    def serves(self, watch: Watch, topic: str, told: bytes) -> bool:
        """Whether who has this watch gets what a ring tells of by a claim that waits, or got it."""
        for holder, place in self._served.values():
            if holder is watch and place.is_all_of(topic, told):
                self._withheld[watch] = place
                return True
        return False

    async def claim(self, wish: Wish, watch: Watch, patience: float) -> Claimed | None:
        """See :meth:`asyncqueue.drivers.base.Driver.claim_next`."""
        sources = tuple(wish.sources)
        place = self._places.get(sources)
        in_vain = place is None or self._refused or watch.rung or patience < SHORTEST
        ready = None if in_vain else self._ready(watch)
        withheld = self._withheld.pop(watch, None)
        if withheld is not None and (ready is None or withheld != place):
            return None  # Somebody may stand there of whom no claim that waits elsewhere hears.
        if place is None or ready is None:
            await watch.wait(patience)
            return None
        self._served[sources] = watch, place
        wire, number = ready
        patience = min(patience, LONGEST)
        waiting = self._send(wire, place, wish, patience)
        is_late = False
        try:
            # The server itself may notice a tenth of a second later that the time is over.
            await watch.wait_or(waiting.claimed, patience)
            is_late = True
            await self._withdraw(waiting, number)
        except asyncio.CancelledError:
            # What the server hands out all the same must not wait for its lease to run out.
            giving = self._give_back(asyncio.create_task(self._leftover(waiting, number)))
            if (post := self._posts.get(watch)) is not None:
                post.leftover = giving
            if not is_late:  # Else whoever waited for us has waited long enough.
                await asyncio.wait((giving,), timeout=LAST_WORD)
            raise
        found = await self._read(sources, waiting)
        if found is None:
            self.looks(sources)
        return found

    def leave(self, watch: Watch) -> None:
        """This watch was closed."""
        self._withheld.pop(watch, None)
        post = self._posts.pop(watch, None)
        if post is not None:
            post.close()

    def close(self) -> None:
        """The handle is closed."""
        posts, self._posts = self._posts, {}
        for post in posts.values():
            post.close()

    def forget(self) -> None:
        """Leave the connections to the process from which this one was forked."""
        self._posts, self._served, self._withheld = {}, {}, {}

    # Its connections

    def _ready(self, watch: Watch) -> tuple[Wire, int] | None:
        """The connection of a watch; until it is there, whoever waits does so as others do."""
        post = self._posts.get(watch)
        if post is None or post.is_over:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._not_before:
                connecting = loop.create_task(self._connect())
                connecting.add_done_callback(self._connected)
                self._posts[watch] = Post(connecting)
            return None
        return post.ready

    async def _connect(self) -> tuple[Wire, int]:
        address = await self._router.holder(self._scripts.shard)
        patience = self._router.place.timeout + LONGEST
        wire = await self._router.connect(lambda: Wire(patience), address)
        number: Any = None
        try:
            replies = await wire.step((self._when_writable, ("CLIENT", "ID")))
            number = replies if isinstance(replies, ReplyError) else replies[-1]
        finally:
            if not isinstance(number, int):
                wire.give_up(ConnectionEndedError("nothing is to be sent on it"))
        if isinstance(number, ReplyError):
            self._note_refusal(number)
            raise number
        return wire, number

    def _connected(self, connecting: asyncio.Task[tuple[Wire, int]]) -> None:
        if not connecting.cancelled() and connecting.exception() is not None:
            self._not_before = connecting.get_loop().time() + PAUSE
            log.debug("No claims wait at %s: %s", self._router.place, connecting.exception())

    def _note_refusal(self, error: ReplyError) -> None:
        kind, _, rest = str(error).partition(" ")
        if not self._refused and (kind == "NOPERM" or rest.startswith("unknown")):
            self._refused = True
            log.info("Claims do not wait at %s, jobs start later: %s", self._router.place, error)

    # Their way

    @property
    def _when_writable(self) -> tuple[str, ...]:
        """A write that changes nothing: a step with one waits until clients may write again.

        Many servers crash when a command is unblocked that waits for the end of CLIENT PAUSE.
        """
        return "DEL", f"{self._scripts.tag}:nothing"

    def _send(self, wire: Wire, place: Place, wish: Wish, seconds: float) -> Waiting:
        line = f"{self._scripts.tag}:ready:{place.queue}:{place.priority}"
        claim = (1, repr(wish.lease), wish.worker, 1, *words_of(wish.sources))
        wire.hold()
        blocked = wire.call(("BLMOVE", line, line, "LEFT", "LEFT", f"{seconds:.3f}"))
        claimed = wire.call(self._scripts.command("claim", claim))
        wire.let_go()
        return Waiting(wire, blocked, claimed)

    async def _withdraw(self, waiting: Waiting, number: int) -> None:
        """Let the claim be executed now.

        On its own connection it may reach the server later than what is to unblock it.
        """
        pause = SHORTEST
        try:
            while not waiting.claimed.done():
                await self._scripts.step(self._when_writable, ("CLIENT", "UNBLOCK", number))
                await asyncio.wait((waiting.claimed,), timeout=pause)
                pause = min(2 * pause, LONGEST_LOOK)
        except DriverError as error:
            if isinstance(error.__cause__, ReplyError):
                self._note_refusal(error.__cause__)  # Its time will be over soon.
            else:
                waiting.wire.give_up(ConnectionEndedError("the server is away"))
        if not waiting.claimed.done():
            await asyncio.wait((waiting.claimed,))

    async def _leftover(self, waiting: Waiting, number: int) -> Claimed:
        await self._withdraw(waiting, number)
        return await self._read((), waiting) or Claimed([])

    async def _read(self, sources: Sources, waiting: Waiting) -> Claimed | None:
        moved, reply = _outcome(waiting.blocked), _outcome(waiting.claimed)
        if isinstance(moved, ReplyError):
            self._note_refusal(moved)
            waiting.wire.give_up(ConnectionEndedError("no claim can wait here"))
        if isinstance(reply, Exception):
            # Whoever claims now will be told what is the matter.
            waiting.wire.give_up(ConnectionEndedError("a claim that waited went wrong"))
            self._places.pop(sources, None)
            return None
        claims = await read_claims(self._scripts, reply)
        if claims:
            self.found(sources, claims[-1])
        elif moved is not None:
            # Somebody stands there whom a claim does not get, or others were faster.
            self._places.pop(sources, None)
            return None
        due_in = float(reply[0]) if reply[0] else None
        return Claimed(claims, due_in, time_of(reply), more=bool(reply[1]))


def _outcome(answered: asyncio.Future[Any]) -> Any:
    """The reply, an error included, or why there is none."""
    return answered.exception() or answered.result()
