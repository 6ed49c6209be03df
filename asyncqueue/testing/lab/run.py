"""One run of a scenario: a store, workers, and the faults of its seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.errors import DriverUnavailable
from asyncqueue.ids import new_id
from asyncqueue.queue import Queue
from asyncqueue.record import FINISHED, Filter, State
from asyncqueue.testing.lab.clock import LabClock
from asyncqueue.testing.lab.crew import Crew
from asyncqueue.testing.lab.driver import LabDriver
from asyncqueue.testing.lab.journal import Journal
from asyncqueue.testing.lab.loop import TimeUpError, VirtualLoop
from asyncqueue.testing.lab.striking import Striking

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from asyncqueue.job import Job
    from asyncqueue.queue import JobHandle
    from asyncqueue.testing.lab.faults import Fault
    from asyncqueue.testing.lab.loop import Process

    Scenario = Callable[["LabRun"], Awaitable[object]]

LOOK: Final = 0.25
"""Seconds between two looks whether all jobs have ended."""
_OF_QUEUES: Final = ("registry", "settings", "signing_keys", "encryption_keys")
_LIVE: Final = tuple(state for state in State if state not in FINISHED)


class LabRun:
    """What a scenario is given: :meth:`workers` to run its jobs, :meth:`dispatch` to send them.

    ``seed`` is that of this run, ``rng`` a source of randomness that goes with it: what is drawn
    from it is drawn again when the run is replayed. Use it, and fakes for everything outside
    of the process; what else differs from run to run cannot be replayed.
    """

    def __init__(self, seed: int, faults: Sequence[Fault], loop: VirtualLoop) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed}/scenario")  # noqa: S311 - to be repeated
        self.journal = Journal(loop.time)
        self.clock = LabClock(loop)
        self.base = MemoryDriver(clock=self.clock)
        """The store itself, beside all faults."""
        latencies = random.Random(f"{seed}/latency")  # noqa: S311 - to be repeated
        self.striking = Striking(loop, latencies, self.journal, self.clock, self.base, faults)
        self._queue: Queue | None = None

    def note(self, text: str) -> None:
        """Write a line into the journal of this run."""
        self.journal.note(text)

    @contextlib.asynccontextmanager
    async def workers(
        self,
        count: int = 2,
        queues: Sequence[str] | Mapping[str, int] | None = None,
        **options: Any,
    ) -> AsyncGenerator[Queue]:
        """Keep ``count`` workers at work, and give the queue to dispatch to.

        At the end of the block every job that was stored has come to its end, whatever
        struck: look at what they did then. The queue can be asked on. Options are those of
        :class:`~asyncqueue.Worker`, with a ``lease`` of 6 s unless given, and ``registry``,
        ``settings``, ``signing_keys``, ``encryption_keys`` of :class:`~asyncqueue.Queue`.
        """
        given = {name: options.pop(name) for name in _OF_QUEUES if name in options}

        def open_queue(process: Process | None) -> Queue:
            return Queue(LabDriver(self.base, self.striking, process), **given)

        self._queue = queue = open_queue(None)
        crew = Crew(count, self.striking, open_queue, {"queues": queues, **options})
        yield queue
        await self._all_ended()
        self.striking.disarm()
        await crew.stop()

    async def dispatch(self, job: Job, *, id: str | None = None, **options: Any) -> JobHandle[Any]:
        """Dispatch a job as a careful producer does: again, under the same id, until it is known.

        ``queue.dispatch`` shows what becomes of those who try only once, or without an id.
        """
        if self._queue is None:
            raise RuntimeError("There are no workers yet: dispatch inside run.workers().")
        id = id or new_id()
        while True:
            try:
                return await self._queue.dispatch(job, id=id, **options)
            except DriverUnavailable:
                await asyncio.sleep(1.0)

    async def _all_ended(self) -> None:
        while await self.base.count(Filter(states=_LIVE)):  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(LOOK)


def run_once(
    scenario: Scenario, seed: int, faults: Sequence[Fault], *, limit: float, mixed: bool
) -> tuple[LabRun, BaseException | None]:
    """Run a scenario under these faults; answers the run, and the error it ended with."""
    rng = random.Random(f"{seed}/loop")  # noqa: S311 - to be repeated
    loop = VirtualLoop(rng, limit=limit, mixed=mixed)
    run = LabRun(seed, faults, loop)
    loop.set_exception_handler(lambda _, context: run.note(f"UNHANDLED: {_unhandled(context)}"))
    state = random.getstate()
    random.seed(seed)
    try:
        loop.run_until_complete(scenario(run))
    except TimeUpError as error:
        return run, TimeUpError(f"{error} {_unfinished(run)}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what broke
        return run, error
    finally:
        loop.bury()
        random.setstate(state)
    return run, None


def _unhandled(context: Mapping[str, Any]) -> str:
    return f"{context.get('message')} {context.get('exception')!r}"


def _unfinished(run: LabRun) -> str:
    store = run.base._store  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    live = [entry for entry in store.entries.values() if entry.state not in FINISHED]
    if not live:
        return "Every job has ended; the scenario has not."
    names = [f"{run.journal.named(entry.id)} ({entry.state})" for entry in live[:10]]
    return f"{len(live)} jobs have not ended: {', '.join(names)}"
