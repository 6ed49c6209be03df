"""Takes samples of one peer: the same steps for all, whatever runs inside."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers import processes
from benchmarks.peers.running import Progress, Run, SampleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from subprocess import Popen

    from benchmarks.peers.catalogue import Peer
    from benchmarks.peers.environments import Environment
    from benchmarks.peers.stores import Store

PATIENCE = 60.0
"""Seconds without a finished job after which a sample is given up."""
MOST_FIVE_MS = 20_000
"""A second's worth at 100 at once is the most that can be run."""
CALLERS = {"sequential": 1, "concurrent": 100}
DISPATCHING = 2_000
"""Milliseconds for which jobs are dispatched."""
PACED = 300
COMPUTING = 2_000
"""Jobs for each worker that computes."""


class Bench:
    """One peer on one server. ``scale`` shortens all counts, for a look at whether it works."""

    def __init__(self, peer: Peer, environment: Environment, store: Store, scale: float) -> None:
        self.peer = peer
        self._environment = environment
        self._store = store
        self._scale = scale

    def noop(self) -> dict[str, float]:
        """Jobs/s until the store shows all settled, and what a job takes of server and disk."""
        jobs = self._scaled(self.peer.jobs)
        with self._filled("noop", jobs) as (run, filled), run.worker() as worker:
            first = self._follow(run, [worker], 1)
            own = [os.getpid()]
            before = self._server_cpu(), self._all_cpu([worker], own), processes.busy_seconds()
            progress, ended = self._until_settled(run, [worker], jobs)
            after = self._server_cpu(), self._all_cpu([worker], own), processes.busy_seconds()
            memory = processes.peak_mib(processes.session(worker.pid))
        server, known, busy = (b - a for a, b in zip(before, after, strict=True))
        if (since := progress.count - first.count) > jobs / 2:
            filled["server_us"] = server / since * 1e6
        return filled | {
            "noop": jobs / (ended - progress.first),
            "extra": progress.count - jobs,
            "memory": memory,
            "foreign": max(0.0, busy - known) / (ended - progress.first),
        }

    def five_ms(self) -> dict[str, float]:
        """Jobs/s with handlers of 5 ms."""
        jobs = self._scaled(min(self.peer.jobs, MOST_FIVE_MS))
        with self._filled("five_ms", jobs) as (run, _), run.worker() as worker:
            progress, ended = self._until_settled(run, [worker], jobs)
        return {"five_ms": jobs / (ended - progress.first)}

    def two_workers(self) -> dict[str, float]:
        """No-op jobs/s of two worker processes."""
        return self._of_two("noop", "two_workers", self._scaled(2 * self.peer.jobs))

    def computing(self) -> dict[str, float]:
        """Jobs/s with handlers that compute for 1 ms, of one worker process and of two."""
        jobs = self._scaled(COMPUTING)
        with self._filled("computing", jobs) as (run, _), run.worker() as worker:
            progress, ended = self._until_settled(run, [worker], jobs)
        rates = {"computing": jobs / (ended - progress.first)}
        return rates | self._of_two("computing", "computing_two", 2 * jobs)

    def _of_two(self, handler: str, name: str, jobs: int) -> dict[str, float]:
        """From the moment when both workers have run some."""
        with (
            self._filled(handler, jobs) as (run, _),
            run.worker() as one,
            run.worker() as other,
        ):
            both = self._follow(run, [one, other], jobs, processes=2)
            began = time.monotonic()
            _, ended = self._until_settled(run, [one, other], jobs)
        if both.count > jobs / 2:
            return {}  # The second began too late to say anything.
        return {name: (jobs - both.count) / (ended - began)}

    def dispatch(self) -> dict[str, float]:
        """Awaited dispatches/s, no worker running."""
        rates: dict[str, float] = {}
        milliseconds = self._scaled(DISPATCHING)
        for name, callers in CALLERS.items():
            with self._run(name) as run:
                rates[name] = run.rate("dispatch", milliseconds, callers)
        return rates

    def latency(self) -> dict[str, float]:
        """Milliseconds from the call of dispatch to the start of the handler, worker idle."""
        count = self._scaled(PACED)
        with self._run("latency") as run, run.worker() as worker:
            run.verb("pace", count)
            self._follow(run, [worker], count)
            taken = sorted(late * 1000 for late in run.latencies(count))
        if not taken:
            raise SampleError("no latency was recorded")
        return {"p50": statistics.median(taken), "p99": taken[int(len(taken) * 0.99)]}

    def _follow(
        self, run: Run, workers: Sequence[Popen[bytes]], jobs: int, processes: int | None = None
    ) -> Progress:
        """Wait until that many jobs have run, or so many processes have run jobs."""
        last, moved = run.progress(), time.monotonic()
        while (progress := run.progress()).count < jobs:
            if processes is not None and progress.processes >= processes:
                break
            now = time.monotonic()
            if progress.count > last.count:
                last, moved = progress, now
            elif any(worker.poll() is not None for worker in workers):
                raise SampleError(f"its worker ended after {last.count} jobs: {run.told()}")
            elif now - moved > PATIENCE:
                raise SampleError(f"its worker stopped after {last.count} jobs: {run.told()}")
            time.sleep(_pause(progress, jobs, now))
        return progress

    def _until_settled(
        self, run: Run, workers: Sequence[Popen[bytes]], jobs: int
    ) -> tuple[Progress, float]:
        """Wait until the store shows the last job as done; answers when that was, too."""
        progress = self._follow(run, workers, jobs)
        if self._unsettled() == 0:
            return progress, progress.last
        patient_until = time.monotonic() + PATIENCE
        while left := self._unsettled():
            if time.monotonic() > patient_until:
                raise SampleError(f"{left} jobs ran and were not settled")
            time.sleep(0.002)
        return run.progress(), time.monotonic()

    def _unsettled(self) -> int:
        try:
            return self._store.unsettled(self.peer.unsettled)
        except Exception as error:
            raise SampleError(
                f"the store was asked in vain what is not settled: {error}"
            ) from error

    def _server_cpu(self) -> float:
        return processes.cpu_seconds(self._store.pids())

    def _all_cpu(self, workers: Sequence[Popen[bytes]], own: list[int]) -> float:
        sessions = [pid for worker in workers for pid in processes.session(worker.pid)]
        return processes.cpu_seconds([*self._store.pids(), *sessions, *own])

    def _scaled(self, count: int) -> int:
        return max(100, int(count * self._scale))

    @contextlib.contextmanager
    def _filled(self, figure: str, jobs: int) -> Iterator[tuple[Run, dict[str, float]]]:
        """A run with so many jobs stored, and what that showed."""
        with self._run(figure) as run:
            empty = self._store.size()
            rate = run.rate("fill", jobs)
            held = self._store.size() - empty
            self._store.settle_down()
            yield run, {"bulk": rate, "bytes": held / jobs}

    @contextlib.contextmanager
    def _run(self, figure: str) -> Iterator[Run]:
        self._store.clear()
        with tempfile.TemporaryDirectory(prefix="asyncqueue-peers-") as folder:
            run = Run(self.peer, self._environment, self._store.url, figure, Path(folder))
            run.verb("prepare")
            yield run


def _pause(progress: Progress, jobs: int, now: float) -> float:
    """Look often when the end is near, and seldom before: looking takes CPU from the peer."""
    if not progress.count:
        return 0.002
    rate = progress.count / max(now - progress.first, 0.001)
    return min(0.05, max(0.001, (jobs - progress.count) / rate / 4))


FIGURES: dict[str, Callable[[Bench], dict[str, float]]] = {
    "noop": Bench.noop,
    "five_ms": Bench.five_ms,
    "dispatch": Bench.dispatch,
    "latency": Bench.latency,
    "two_workers": Bench.two_workers,
    "computing": Bench.computing,
}
