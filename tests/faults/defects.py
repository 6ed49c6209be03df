"""Memory drivers with one defect each, that the checker must tell; and one without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.errors import DriverUnavailable
from asyncqueue.record import State

from ..drivers.defects import NoFence, NoSweep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.record import Claimed, Record, Settlement, Source

    from .checker import Report


class Forgets(MemoryDriver):
    """Says that it stored what it did not."""

    async def enqueue(self, records: Sequence[Record], **given: Any) -> list[str | None]:
        await super().enqueue([one for one in records if one.id[-1] != "7"], **given)
        return [None] * len(records)


class Denies(MemoryDriver):
    """Says that it did not store what it did."""

    async def enqueue(self, records: Sequence[Record], **given: Any) -> list[str | None]:
        await super().enqueue(records, **given)
        raise DriverUnavailable("the answer was lost")


class Invents(MemoryDriver):
    """Stores what nobody gave it."""

    async def enqueue(self, records: Sequence[Record], **given: Any) -> list[str | None]:
        invented = replace(records[0], id=f"{records[0].id}x")
        return (await super().enqueue([*records, invented], **given))[: len(records)]


class GivesTwice(MemoryDriver):
    """Gives to one worker what another was given last."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        given: dict[str, list[Any]] = vars(self).setdefault("given", {})
        stolen = [claim for other in given if other != worker for claim in given[other]][:limit]
        claimed = await super().claim(sources, limit - len(stolen), lease, worker)
        given.clear()
        given[worker] = list(claimed.claims)
        claimed.claims += stolen
        return claimed


class RunsAgain(MemoryDriver):
    """Takes a completed job for one to be run once more."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Any]:
        first = [
            replace(s, state=State.PENDING) if s.attempts == 1 and s.state is State.COMPLETED else s
            for s in settlements
        ]
        return await super().settle(first)


class EagerSweep(MemoryDriver):
    """Takes back what is still held."""

    async def sweep(self) -> int:
        with self._store.lock:
            for shelf in self._store.shelves.values():
                for entry in shelf.processing.values():
                    entry.lease_until = -1.0
            self._store.first_lease = -1.0
        return await super().sweep()


class CompletesUnrun(MemoryDriver):
    """Counts a job as completed that was only claimed."""

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        claimed = await super().claim(sources, limit, lease, worker)
        if claimed.claims and not vars(self).get("completed"):
            vars(self)["completed"] = True
            first = claimed.claims.pop(0)
            entry = self._store.entries[first.id]
            await super().settle([_completed(entry)])
        return claimed


def _completed(entry: Any) -> Settlement:
    from asyncqueue.record import Settlement  # noqa: PLC0415 - a type elsewhere

    return Settlement(entry.id, entry.token, State.COMPLETED, 1, retention=3600)


class Defect(NamedTuple):
    """A driver, and what the checker has to say of it."""

    driver: type[MemoryDriver]
    shows: Callable[[Report], object]
    silent: bool = False
    """Whether that is no problem in itself."""
    wakes: bool = False
    """Whether it shows when a worker that was dead goes on."""


DEFECTS: Final = (
    Defect(Forgets, lambda report: report.lost),
    Defect(Denies, lambda report: report.recovered, silent=True),
    Defect(Invents, lambda report: report.unexpected),
    Defect(GivesTwice, lambda report: report.overlapped or report.duplicated),
    Defect(RunsAgain, lambda report: report.unexplained or report.duplicated),
    Defect(EagerSweep, lambda report: report.duplicated and report.stale),
    Defect(CompletesUnrun, lambda report: report.unrun),
)
"""Seen in a run without faults."""

AFTER_A_DEATH: Final = (
    Defect(NoSweep, lambda report: report.waiting),
    Defect(NoFence, lambda report: report.unfenced, wakes=True),
)
"""Seen only when a lease is lost."""
