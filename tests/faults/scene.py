"""A scenario while it goes on: a store, worker processes, a producer, and the journal of all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Self

from asyncqueue import DriverUnavailable, Job, Queue

from ..cli.processes import Process
from .checker import Report, check
from .jobs import JOURNAL, Labour
from .journal import Journal, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from .stores import Store

PATIENCE = 60.0
"""Seconds after which what a scenario waits for will not come any more."""
LEASE = 2.0
"""Seconds, of workers that are not told otherwise."""
APPLICATION = "tests.faults.application:queue"


class Scene:
    """Everything that a scenario has; ``async with`` ends whatever is left of it."""

    def __init__(self, folder: Path, store: Store) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = store
        self.journal = Journal(folder / "journal.jsonl")
        self.reading = Reading(self.journal.path)
        self.queue = Queue(settings=store.settings())
        self.workers: list[Process] = []
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send(signal.SIGCONT)
            await asyncio.to_thread(worker.end)
        await self.queue.close()
        self.journal.close()

    # Its producers

    async def dispatch(self, jobs: Iterable[Job], *, on: Queue | None = None, **options: Any):
        """Dispatch each job under an id of its own, all at once; answers the ids."""
        dispatches = (self._dispatch(job, on or self.queue, options) for job in jobs)
        return list(await asyncio.gather(*dispatches))

    async def _dispatch(self, job: Job, queue: Queue, options: dict[str, Any]) -> str:
        id = f"{type(job).__name__.lower()}{next(self._ids)}"
        self.journal.note("attempted", id)
        await self.dispatch_again(id, job, on=queue, **options)
        return id

    async def dispatch_again(
        self, id: str, job: Job, *, on: Queue | None = None, **options: Any
    ) -> bool:
        """Dispatch a job under this id; whether it was acknowledged."""
        try:
            await (on or self.queue).dispatch(job, id=id, **options)
        except DriverUnavailable:
            self.journal.note("refused", id)
            return False
        self.journal.note("acknowledged", id)
        return True

    async def labour(self, count: int, seconds: float = 0.05, **options: Any) -> list[str]:
        """Dispatch so many jobs that take so long."""
        return await self.dispatch((Labour(seconds=seconds) for _ in range(count)), **options)

    # Its workers

    def hire(
        self,
        *options: str,
        lease: float = LEASE,
        port: int | None = None,
        worker: str | None = None,
        **environment: str,
    ) -> Process:
        """Start a worker process, whose way to the store leads through ``port``.

        ``worker`` names one that is configured already, and takes no options.
        """
        tuning = ("--lease", f"{lease}s", "--max-time", "15m") if worker is None else ()
        args = (worker or APPLICATION, "--log-level", "WARNING", *tuning, *options)
        variables = {
            JOURNAL: str(self.journal.path),
            "PYTHONFAULTHANDLER": "1",
            **self.store.variables(port),
            **environment,
        }
        self.workers.append(Process(self.folder, args, variables))
        return self.workers[-1]

    async def hired(self, *options: str, **given: Any) -> Process:
        """As :meth:`hire`, and it takes jobs when this returns."""
        worker = self.hire(*options, **given)
        await self.ready(worker)
        return worker

    async def ready(self, worker: Process) -> None:
        """Return when it takes jobs."""
        try:
            await asyncio.to_thread(worker.until, "Ready.")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self._stacks(worker)}") from None

    async def _stacks(self, worker: Process) -> str:
        """What the threads of a process that does not go on are doing; it ends by that."""
        if worker.popen.poll() is None:
            worker.send(signal.SIGABRT)
            await asyncio.to_thread(worker.ended)
        return worker.said

    def kill(self, worker: Process) -> float:
        """kill -9; answers when that was."""
        at = time.monotonic()
        worker.popen.kill()
        worker.popen.wait()
        self.journal.note("died", pid=worker.pid)
        return at

    async def ended(self, worker: Process) -> int:
        """Its exit code, when it has ended."""
        return await asyncio.to_thread(worker.ended)

    def suspend(self, worker: Process) -> None:
        """SIGSTOP, but not while it holds the lock of a file: that would stop everybody."""
        with self.store.locked():
            worker.send(signal.SIGSTOP)

    async def terminated(self, worker: Process) -> tuple[int, float]:
        """SIGTERM; its exit code, and how many seconds it took."""
        at = time.monotonic()
        worker.send(signal.SIGTERM)
        code = await self.ended(worker)
        return code, time.monotonic() - at

    # Waiting, and looking

    async def until(self, true: Callable[[Reading], Any], patience: float = PATIENCE) -> float:
        """Return when the journal shows this; answers the seconds that it took."""
        began = time.monotonic()
        while not true(self.reading):
            self.reading.more()
            if time.monotonic() - began > patience:
                said = "\n\n".join(worker.said[-2000:] for worker in self.workers)
                raise AssertionError(f"It did not happen within {patience:g} s.\n{said}")
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def done(self, ids: Iterable[str] | int, patience: float = PATIENCE) -> float:
        """Return when all of these jobs, or so many, ran to their end; answers the seconds."""
        if isinstance(ids, int):
            return await self.until(lambda seen: len(seen.ids("finished")) >= ids, patience)
        wanted = set(ids)
        return await self.until(lambda seen: wanted <= seen.ids("finished"), patience)

    async def begun(self, count: int, patience: float = PATIENCE) -> float:
        """Return when so many bodies have begun."""
        return await self.until(lambda seen: len(seen.of("started")) >= count, patience)

    async def settled(self, patience: float = PATIENCE) -> None:
        """Return when the store has nothing that waits or runs."""
        async with asyncio.timeout(patience):
            while any(
                counts.pending + counts.delayed + counts.processing
                for counts in (await self.queue.stats()).values()
            ):
                await asyncio.sleep(0.05)

    async def stored(self) -> dict[str, str]:
        """The state of every job in the store."""
        states: dict[str, str] = {}
        cursor = None
        while True:
            page = await self.queue.jobs(limit=500, cursor=cursor)
            states.update((job.id, job.state.value) for job in page.items)
            cursor = page.next
            if cursor is None:
                return states

    async def report(self) -> Report:
        """What the checker says."""
        return check(self.reading.more(), await self.stored())


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
