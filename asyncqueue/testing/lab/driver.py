"""The memory driver as one process of a lab has it: calls take time, and faults strike them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from asyncqueue.drivers.base import Driver
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.testing.lab.faults import DISPATCH, Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from asyncqueue.record import (
        Claimed,
        Counted,
        Extension,
        Filter,
        Found,
        Hold,
        Latch,
        Presence,
        Record,
        Settlement,
        Source,
        State,
    )
    from asyncqueue.testing.lab.loop import Process
    from asyncqueue.testing.lab.striking import Striking

T = TypeVar("T")


class LabDriver(MemoryDriver):
    """A handle on the memory store of a run, for one process; None is the scenario."""

    name: ClassVar[str] = "lab"
    # Without a second handle the heartbeat shares the loop of its worker, and so its fate.
    clone = Driver.clone  # pyright: ignore[reportAssignmentType]

    def __init__(self, base: MemoryDriver, striking: Striking, process: Process | None) -> None:
        super().__init__(clock=base.clock)
        self._store = base._store  # noqa: SLF001 - of its own class, in a way
        self._striking = striking
        self._process = process

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        """As the memory driver does."""
        journal = self._striking.journal
        names = ", ".join(journal.name(record.id, record.name) for record in records)

        async def store() -> list[str | None]:
            taken = await super(LabDriver, self).enqueue(records, latches=latches, within=within)
            duplicates = sum(other is not None for other in taken)
            journal.note(f"stored {names}" + (f" ({duplicates} known)" if duplicates else ""))
            return taken

        return await self._call(DISPATCH if self._process is None else "enqueue", store)

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        """As the memory driver does."""

        async def claim() -> Claimed:
            claimed = await super(LabDriver, self).claim(sources, limit, lease, worker)
            for one in claimed.claims:
                job = self._striking.journal.name(one.id, one.name)
                self._striking.journal.note(f"claimed {job}, attempt {one.attempts}")
            return claimed

        # Of claims that bring nothing there are many, and nothing depends on them.
        return await self._call("claim", claim, counts=lambda claimed: bool(claimed.claims))

    async def extend(self, extensions: Sequence[Extension], lease: float) -> list[Hold]:
        """As the memory driver does."""
        return await self._call("extend", lambda: super(LabDriver, self).extend(extensions, lease))

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool | Counted]:
        """As the memory driver does."""

        async def settle() -> list[bool | Counted]:
            answers = await super(LabDriver, self).settle(settlements)
            for settlement, answer in zip(settlements, answers, strict=True):
                job = self._striking.journal.named(settlement.id)
                lost = "" if answer else " (refused: its lease is lost)"
                self._striking.journal.note(f"settled {job} as {settlement.state}{lost}")
            return answers

        return await self._call("settle", settle)

    async def sweep(self) -> int:
        """As the memory driver does."""

        async def sweep() -> int:
            returned = await super(LabDriver, self).sweep()
            if returned:
                self._striking.journal.note(f"swept: {returned} come back")
            return returned

        return await self._call("sweep", sweep, counts=_brings)

    async def cancel(self, which: Filter, retention: float) -> dict[str, State]:
        """As the memory driver does."""
        return await self._call("cancel", lambda: super(LabDriver, self).cancel(which, retention))

    async def requeue(self, which: Filter) -> list[str]:
        """As the memory driver does."""
        return await self._call("requeue", lambda: super(LabDriver, self).requeue(which))

    async def find(self, which: Filter, **options: Any) -> Found:
        """As the memory driver does."""
        return await self._call("find", lambda: super(LabDriver, self).find(which, **options))

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """As the memory driver does."""
        return await self._call(
            "acquire", lambda: super(LabDriver, self).acquire(key, holder, most, ttl)
        )

    async def announce(self, worker: Presence, ttl: float) -> None:
        """As the memory driver does."""
        await self._call(
            "announce", lambda: super(LabDriver, self).announce(worker, ttl), counts=lambda _: False
        )

    async def _call(
        self,
        verb: str,
        call: Callable[[], Coroutine[Any, Any, T]],
        *,
        counts: Callable[[T], bool] | None = None,
    ) -> T:
        """Do it; what ``counts`` only by its answer has no moment before it."""
        striking, process = self._striking, self._process
        await striking.latency()
        number = 0
        if counts is None:
            number = striking.count(verb)
            await striking.at(Moment(verb, number), process)
        answer = await call()
        if counts is not None and counts(answer):
            number = striking.count(verb)
        if number:
            await striking.at(Moment(verb, number, after=True), process)
        await striking.latency()
        return answer


def _brings(count: int) -> bool:
    return count > 0


def expire_leases(base: MemoryDriver, worker: str) -> list[str]:
    """Let the leases of this worker run out now; answers the ids of the jobs it held."""
    store = base._store  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    with store.lock:
        now = store.now()
        running = [e for shelf in store.shelves.values() for e in shelf.processing.values()]
        held = [entry for entry in running if entry.worker == worker]
        for entry in held:
            entry.lease_until = now
        store.first_lease = min(store.first_lease, now)
        return [entry.id for entry in held]
