"""Claiming from several shards: the most urgent jobs of all, from shards that take turns.

Strictly in order of sources and priorities, as far as is known; by age within each shard. A shard
that does not answer keeps nobody from the others.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.redis.lookout import plan, read_left
from asyncqueue.drivers.redis.moving import CHUNK, read_claims, time_of, words_of
from asyncqueue.drivers.redis.shards import answered, outcome
from asyncqueue.errors import DriverError, DriverUnavailable
from asyncqueue.record import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.drivers.redis.lookout import Left, Lookout
    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.record import Claim, Source

    Asking = asyncio.Task["Told"]

PATIENCE: Final = 0.25
"""Seconds for which the slower shards are waited for."""
LOOK_AT: Final = 100
"""How many jobs that are left a shard looks at."""
FRUITLESS: Final = 5
"""How often in a row others may be faster."""


@dataclass
class Wish:
    """What a worker asks for."""

    sources: Sequence[Source]
    limit: int
    lease: float
    worker: str
    withdrawn: bool = False
    """Nobody waits for it any more."""


class Told(NamedTuple):
    """What a shard answered."""

    claims: list[Claim]
    left: Left
    now: float


class Claiming:
    """Claims for one handle; ``too_late`` is called with what nobody waits for any more."""

    def __init__(
        self,
        shards: Shards,
        lookout: Lookout,
        clock: Callable[[], float],
        too_late: Callable[[Asking], object],
    ) -> None:
        self.shards = shards
        self.lookout = lookout
        self.clock = clock
        self.too_late = too_late
        self.turn = 0

    async def claim(self, wish: Wish) -> Claimed:
        """Claim up to the limit. Raises what all shards raise, if they do."""
        self.turn = (self.turn + 1) % len(self.shards)
        return await _Claim(self, wish).run()


class _Claim:
    """One call."""

    def __init__(self, claiming: Claiming, wish: Wish) -> None:
        self._claiming = claiming
        self._wish = wish
        self._known = claiming.lookout.known(wish.sources, claiming.clock())
        self._asked: dict[int, Told | DriverError] = {}
        self._found: dict[int, list[Claim]] = {}
        self._now: float | None = None

    async def run(self) -> Claimed:
        """Ask until there is nothing left to ask."""
        fruitless = 0
        while self._missing > 0 and fruitless < FRUITLESS and not self._wish.withdrawn:
            unknown = self._others() - self._known.keys()
            if unknown:
                await self._ask(dict.fromkeys(unknown, 0))
                continue
            asks = plan(self._known, self._missing, self._claiming.turn, self._count)
            if asks:
                before = self._missing
                await self._ask(asks)
                fruitless = fruitless + 1 if self._missing == before else 0
            elif self._found or not self._others():
                break
            else:  # What is known is not relied on where it is that nobody waits.
                await self._ask(dict.fromkeys(self._others(), 0))
        return self._result()

    @property
    def _count(self) -> int:
        return len(self._claiming.shards)

    @property
    def _missing(self) -> int:
        return self._wish.limit - sum(map(len, self._found.values()))

    def _others(self) -> set[int]:
        """Shards that were not asked yet."""
        return set(range(self._count)) - self._asked.keys()

    async def _ask(self, rooms: dict[int, int]) -> None:
        """Claim so many from each of these shards; of 0 they only tell what they have."""
        asking = self._claiming.shards.ask(lambda one: self._claim(one, rooms[one.shard]), rooms)
        done, pending = await asyncio.wait(asking.values(), timeout=PATIENCE)
        if not done:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for shard, task in asking.items():
            if task in pending:
                self._claiming.too_late(task)
                self._claiming.shards.all[shard].let_rest()
                self._note(shard, DriverUnavailable(f"Shard {shard} is slower than the others."))
            else:
                self._note(shard, outcome(task))

    async def _claim(self, scripts: Scripts, room: int) -> Told:
        wish = self._wish
        room = min(room, CHUNK)
        where = words_of(wish.sources)
        reply = await scripts.run("claim", room, repr(wish.lease), wish.worker, LOOK_AT, *where)
        due_in = float(reply[0]) if reply[0] else None
        left = read_left(reply[1], due_in, most=LOOK_AT, now=self._claiming.clock())
        return Told(await read_claims(scripts, reply), left, time_of(reply))

    def _note(self, shard: int, told: Told | DriverError) -> None:
        self._asked[shard] = told
        if isinstance(told, DriverError):
            self._known.pop(shard, None)
            self._claiming.lookout.forget(self._wish.sources, shard)
            return
        self._known[shard] = told.left
        self._claiming.lookout.learn(self._wish.sources, shard, told.left)
        self._now = told.now
        if told.claims:
            self._found.setdefault(shard, []).extend(told.claims)

    def _result(self) -> Claimed:
        if self._asked and not self._found:
            answered(self._asked)  # Raises where none can be reached.
        due_in = None
        if self._missing > 0:
            dues = [left.due for left in self._known.values() if left.due is not None]
            due_in = min(dues) - self._claiming.clock() if dues else None
        return Claimed(_merged(self._wish.sources, list(self._found.values())), due_in, self._now)


def _merged(sources: Sequence[Source], found: list[list[Claim]]) -> list[Claim]:
    """The claims of several answers, each of which is in order, in one order."""
    if len(found) == 1:
        return found[0]

    def place(claim: Claim) -> tuple[int, int, float, int]:
        source = next(
            n
            for n, source in enumerate(sources)
            if source.queue == claim.queue and source.low <= claim.priority <= source.high
        )
        return source, -claim.priority, claim.created_at, claim.token

    return list(heapq.merge(*found, key=place))
