"""Memory drivers with one defect each: proof that the state machine can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.record import Claimed, Filter, Hold, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.record import Extension, Latch, Record, Settlement, Source


class Misreading(MemoryDriver):
    """Stores other records than it was given."""

    def misread(self, record: Record) -> Record:
        raise NotImplementedError

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        misread = [self.misread(record) for record in records]
        return await super().enqueue(misread, latches=latches, within=within)


class NoFence(MemoryDriver):
    """Any token settles."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        entries = self._store.entries
        newest = [
            replace(s, token=entries[s.id].token) if s.id in entries else s for s in settlements
        ]
        return await super().settle(newest)


class NoSweep(MemoryDriver):
    """Jobs of dead workers are forgotten."""

    async def sweep(self) -> int:
        return 0


class UncountedCrash(MemoryDriver):
    """A swept job gets its attempt back."""

    async def sweep(self) -> int:
        processing = (await self.find(Filter(states=(State.PROCESSING,)))).items
        answer = await super().sweep()
        for job in processing:
            entry = self._store.entries.get(job.id)
            if entry is not None and entry.state is State.PENDING:
                entry.attempts -= 1
        return answer


class KeptKey(MemoryDriver):
    """A key is never freed."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        kept = dict(self._store.keys)
        answer = await super().settle(settlements)
        self._store.keys.update(kept)
        return answer


class EndlessKey(Misreading):
    """A key outlives its time."""

    def misread(self, record: Record) -> Record:
        return replace(record, key_ttl=None)


class NewestFirst(MemoryDriver):
    """Claims come in the wrong order."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        claimed = await super().claim(sources, limit, lease, worker)
        claimed.claims.reverse()
        return claimed


class DeafToPause(MemoryDriver):
    """A paused queue goes on."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        paused, self._store.paused = self._store.paused, set()
        try:
            return await super().claim(sources, limit, lease, worker)
        finally:
            self._store.paused = paused


class ToTheBack(MemoryDriver):
    """A returned job loses its place."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        pending = State.PENDING
        late = [replace(s, state=State.DELAYED) if s.state is pending else s for s in settlements]
        return await super().settle([replace(s, delay=0.0) for s in late])


class BlindHeartbeat(MemoryDriver):
    """A request to cancel is not told."""

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        answers = await super().extend(extensions, lease)
        return [Hold.HELD if answer is Hold.CANCELLED else answer for answer in answers]


class SecondLife(MemoryDriver):
    """A called-off job may wait again."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        for settlement in settlements:
            entry = self._store.entries.get(settlement.id)
            if entry is not None:
                entry.cancel_retention = None
        return await super().settle(settlements)


class FreshFence(MemoryDriver):
    """A requeued job is given the token again that it had last."""

    async def requeue(self, which: Filter) -> list[str]:
        answer = await super().requeue(which)
        for requeued in answer:
            self._store.entries[requeued].token -= 1
        return answer


class HalfRetention(MemoryDriver):
    """Records go too early."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await super().settle([replace(s, retention=s.retention / 2) for s in settlements])


DEFECTS: Final = (
    NoFence,
    NoSweep,
    UncountedCrash,
    KeptKey,
    EndlessKey,
    NewestFirst,
    DeafToPause,
    ToTheBack,
    BlindHeartbeat,
    SecondLife,
    FreshFence,
    HalfRetention,
)
