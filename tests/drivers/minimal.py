"""The smallest driver there can be: five verbs, here lent from the memory driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from asyncqueue.drivers.base import Driver, Order
from asyncqueue.drivers.memory import MemoryDriver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.record import (
        Claimed,
        Filter,
        Found,
        QueueCounts,
        Record,
        Settlement,
        Source,
    )


class MinimalDriver(Driver):
    """What a stranger writes in a day: no leases, no wake-ups, nothing to operate with."""

    name: ClassVar[str] = "minimal"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._memory = MemoryDriver(clock=clock)

    async def enqueue(
        self, records: Sequence[Record], *, within: object | None = None
    ) -> list[str | None]:
        self.refuse_within(within)
        return await self._memory.enqueue(records)

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        return await self._memory.claim(sources, limit, lease, worker)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._memory.settle(settlements)

    async def find(
        self,
        which: Filter,
        *,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        order: Order = "created",
    ) -> Found:
        return await self._memory.find(
            which, limit=limit, offset=offset, cursor=cursor, order=order
        )

    async def counts(self) -> dict[str, QueueCounts]:
        return await self._memory.counts()
