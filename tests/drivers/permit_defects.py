"""Memory drivers whose permits have one defect each: proof that the state machine can fail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.memory import MemoryDriver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.record import Claimed, Counted, Settlement, Source


def nothing(*_: Any) -> None:
    """Do what a defect forgets to do."""


class KeptBySweep(MemoryDriver):
    """A job whose lease ran out keeps its permits."""

    async def sweep(self) -> int:
        limits: Any = self._store.limits
        limits.ended = nothing
        try:
            return await super().sweep()
        finally:
            del limits.ended


class TakenTwice(MemoryDriver):
    """A claim takes two permits."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        permits: Any = self._store.limits.permits
        take = permits.take

        def take_two(key: str, holder: str, until: float) -> None:
            take(key, holder, until)
            take(key, f"{holder} again", until)

        permits.take = take_two
        try:
            return await super().claim(sources, limit, lease, worker)
        finally:
            del permits.take


class ForgottenAside(MemoryDriver):
    """Who was set aside does not learn that a permit has expired."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        limits: Any = self._store.limits
        limits.open = nothing
        limits.opens_at = lambda: math.inf
        try:
            return await super().claim(sources, limit, lease, worker)
        finally:
            del limits.open, limits.opens_at


class SilentRelease(MemoryDriver):
    """A permit that is given back by hand lets nobody try."""

    async def release(self, key: str, holder: str | None = None) -> int:
        limits: Any = self._store.limits
        limits.released = nothing
        try:
            return await super().release(key, holder)
        finally:
            del limits.released


class OneTooMany(MemoryDriver):
    """There is one more permit than there should be."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        permits: Any = self._store.limits.permits
        wait = permits.wait
        permits.wait = lambda key, most, now: wait(key, most + 1, now)
        try:
            return await super().claim(sources, limit, lease, worker)
        finally:
            del permits.wait


class GivenBackTooEarly(MemoryDriver):
    """A rate does not count those that have ended."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        answers = await super().settle(settlements)
        permits = self._store.limits.permits
        for settlement, answer in zip(settlements, answers, strict=True):
            if answer:
                permits.give_back("rate", f"{settlement.id}/{settlement.token}", self._store.now())
        return answers


class InTheWay(MemoryDriver):
    """Who lacks one permit keeps others from trying for another one."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        limits: Any = self._store.limits
        limits._try_others = nothing
        try:
            return await super().claim(sources, limit, lease, worker)
        finally:
            del limits._try_others


PERMIT_DEFECTS: Final = (
    KeptBySweep,
    TakenTwice,
    ForgottenAside,
    SilentRelease,
    OneTooMany,
    GivenBackTooEarly,
    InTheWay,
)
