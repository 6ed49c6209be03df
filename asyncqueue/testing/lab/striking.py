"""Lets the faults of a run strike, each at its moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from asyncqueue.errors import DriverUnavailable
from asyncqueue.testing.lab.driver import expire_leases
from asyncqueue.testing.lab.faults import STEP, Fault, Moment
from asyncqueue.testing.lab.loop import HANDLING

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.context import Context
    from asyncqueue.drivers.memory import MemoryDriver
    from asyncqueue.testing.lab.clock import LabClock
    from asyncqueue.testing.lab.journal import Journal
    from asyncqueue.testing.lab.loop import Process, VirtualLoop

FASTEST: Final = 0.0002
SLOWEST: Final = 0.005
"""Seconds that a call of the store is under way, each way."""


class Victim(Protocol):
    """What the lab knows of a process that runs a worker."""

    worker_id: str

    def died(self, pause: float) -> None:
        """It is dead; another may take its place after so many seconds."""
        ...

    def shut_down(self) -> None:
        """It is asked to stop."""
        ...


class Striking:
    """Counts the moments of a run, and does at each what was drawn for it."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: random.Random,
        journal: Journal,
        clock: LabClock,
        base: MemoryDriver,
        faults: Sequence[Fault],
    ) -> None:
        self.journal = journal
        self.moments: Counter[str] = Counter()
        self.struck: list[Fault] = []
        self.victims: dict[Process, Victim] = {}
        self._loop = loop
        self._rng = rng
        self._clock = clock
        self._base = base
        self._due = list(faults)
        loop.on_handler_step = self._at_step

    def disarm(self) -> None:
        """Nothing strikes any more."""
        self._due.clear()

    async def latency(self) -> None:
        """The time that a request or its answer takes."""
        await asyncio.sleep(self._rng.uniform(FASTEST, SLOWEST))

    def count(self, verb: str) -> int:
        """One more call of this verb; answers which one it is."""
        self.moments[verb] += 1
        return self.moments[verb]

    async def at(self, moment: Moment, process: Process | None) -> None:
        """This moment has come: may raise, take its time, or never return."""
        for fault in self._take(moment):
            self._strike(fault, process)
            if fault.kind in {"lost_reply", "unavailable"}:
                raise DriverUnavailable(f"The crash lab let this call fail: {fault}")
        if process is not None and process.dead:
            await self._loop.create_future()
        if process is not None and process.frozen:
            await asyncio.sleep(0)  # It goes on from here when it is thawed.

    def _at_step(self, process: Process) -> None:
        for fault in self._take(Moment(STEP, self.count(STEP))):
            self._strike(fault, process)

    def _take(self, moment: Moment) -> list[Fault]:
        if not self._due:
            return []
        taken = [fault for fault in self._due if fault.moment == moment]
        self._due = [fault for fault in self._due if fault.moment != moment]
        return taken

    def _strike(self, fault: Fault, process: Process | None) -> None:
        self.struck.append(fault)
        self.journal.note(f"*** {fault}", None if process is None else process.name)
        victim = None if process is None else self.victims.get(process)
        if fault.kind == "clock":
            self._clock.jump(fault.seconds)
        if process is None or victim is None:
            return
        if fault.kind == "kill":
            self._loop.kill(process)
            victim.died(fault.seconds)
        elif fault.kind == "freeze":
            self._loop.freeze(process, fault.seconds)
        elif fault.kind == "shutdown":
            victim.shut_down()
        elif fault.kind == "duplicate":
            self._duplicate(victim)

    def _duplicate(self, victim: Victim) -> None:
        for job_id in expire_leases(self._base, victim.worker_id):
            self.journal.note(f"the lease of {self.journal.named(job_id)} is over")


async def mark_handler(ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
    """Middleware: from here on it is a handler that runs."""
    HANDLING.set(ctx.job_id)
    return await call_next()
