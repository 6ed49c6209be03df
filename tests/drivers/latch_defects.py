"""Memory drivers whose latches have one defect each: proof that the state machine can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.record import Claimed, Filter, State

from .defects import Misreading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.record import Counted, Latch, Record, Settlement, Source


class UncountedRemoval(MemoryDriver):
    """A member that is deleted while it waits stays pending in the count."""

    async def delete(self, which: Filter) -> int:
        latches = self._store.latches
        ended, latches.ended = latches.ended, lambda *_: None  # type: ignore[method-assign]
        try:
            return await super().delete(which)
        finally:
            latches.ended = ended  # type: ignore[method-assign]


class CountedTwice(MemoryDriver):
    """A member that was given back counts as ended, and once more when it ends."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        answers = await super().settle(settlements)
        for settlement, answer in zip(settlements, answers, strict=True):
            entry = self._store.entries.get(settlement.id)
            if answer and entry and entry.member and settlement.state is State.DELAYED:
                self._store.latches.ended(entry, State.FAILED, self._store.now())
        return answers


class NoGuard(Misreading):
    """Those held until the END do not wait for those that guard."""

    def misread(self, record: Record) -> Record:
        return replace(record, guards=False)


class LostFollowUp(MemoryDriver):
    """What follows a job is forgotten where it waits again."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        returns = (State.PENDING, State.DELAYED)
        forgetful = [
            replace(s, follow_ups=(), latches=()) if s.state in returns else s for s in settlements
        ]
        return await super().settle(forgetful)


class SilentCallOff(MemoryDriver):
    """A claim does not say that its latch was called off."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        claimed = await super().claim(sources, limit, lease, worker)
        return Claimed([replace(c, called_off=False) for c in claimed.claims], claimed.due_in)


class TooLateToJoin(MemoryDriver):
    """Latches that have opened can be joined."""

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        states = self._store.latches._states
        opened = {id: s.opened_at for id, s in states.items() if s.opened_at is not None}
        for id in opened:
            states[id].opened_at = None
        try:
            return await super().enqueue(records, latches=latches, within=within)
        finally:
            for id, at in opened.items():
                states[id].opened_at = at


class UncountedReturn(MemoryDriver):
    """A failed member that is requeued still counts as failed."""

    async def requeue(self, which: Filter) -> list[str]:
        latches = self._store.latches
        requeued, latches.requeued = latches.requeued, lambda _: None  # type: ignore[method-assign]
        try:
            return await super().requeue(which)
        finally:
            latches.requeued = requeued  # type: ignore[method-assign]


class LateAtOnce(Misreading):
    """Who was held back is due at once, whatever its record says."""

    def misread(self, record: Record) -> Record:
        return record if record.held is None else replace(record, delay=0)


class ShortMemory(MemoryDriver):
    """Only the last attempt is in the history."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        for settlement in settlements:
            entry = self._store.entries.get(settlement.id)
            if entry is not None and settlement.attempt is not None:
                entry.history = None
        return await super().settle(settlements)


LATCH_DEFECTS: Final = (
    UncountedRemoval,
    CountedTwice,
    NoGuard,
    LostFollowUp,
    SilentCallOff,
    TooLateToJoin,
    UncountedReturn,
    LateAtOnce,
    ShortMemory,
)
