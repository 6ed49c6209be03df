"""What runs in a peer's own interpreter: ``python -m benchmarks.peers.inside ADAPTER VERB …``.

Standard library only: nothing else is sure to be installed there. An adapter is a module with

- ``prepare()``, if the store needs a schema;
- ``fill(count)``: store that many jobs, in bulk where the peer can;
- ``work()``: serve the queue until the process is killed;
- ``producer()``: a context manager, its value a function ``dispatch(n, text)`` that stores one job.

Each is a coroutine function (an async context manager) or a plain one, as the peer is. A job has
one int and one text of 60 characters; its handler is :func:`handle` or :func:`handle_in_thread`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import inspect
import json
import mmap
import os
import sys
import threading
import time
from pathlib import Path

URL = os.environ.get("PEER_URL", "")
FIGURE = os.environ.get("PEER_FIGURE", "noop")
CONCURRENCY = int(os.environ.get("PEER_CONCURRENCY", "10"))
OPTIONS = json.loads(os.environ.get("PEER_OPTIONS", "{}"))
TALLIES = Path(os.environ.get("PEER_TALLIES", "."))
TEXT = "x" * 60
FIVE_MS = 0.005
COMPUTING = 0.001
"""Seconds of a core that a handler of that figure takes."""
WARM = 2
"""Dispatches of each caller before the clock is started: connections are open then."""
LATENCIES = 4096
"""Room for that many in a tally, after the count, the first start and the last end."""


class Tally:
    """How many jobs this process ran and when, in a file that the measuring program reads."""

    def __init__(self) -> None:
        size = 8 * (3 + LATENCIES)
        with (TALLIES / str(os.getpid())).open("w+b") as file:
            file.truncate(size)
            self._cells = memoryview(mmap.mmap(file.fileno(), size)).cast("d")
        self._lock = threading.Lock()

    def count(self, began: float) -> None:
        with self._lock:
            if not self._cells[0]:
                self._cells[1] = began
            self._cells[2] = time.monotonic()
            self._cells[0] += 1

    def late(self, n: int, began: float, text: str) -> None:
        """The text of these jobs is the instant of their dispatch; those before 0 warm up."""
        if n >= 0:
            self._cells[3 + n] = began - float(text)


_tallies: dict[int, Tally] = {}
_first = threading.Lock()


def tally() -> Tally:
    """The tally of this process, made by its first job. A fork has another."""
    pid = os.getpid()
    if pid not in _tallies:
        with _first:
            if pid not in _tallies:
                _tallies[pid] = Tally()
    return _tallies[pid]


async def handle(n: int, text: str) -> None:
    """The job, on an event loop."""
    began = time.monotonic()
    if FIGURE == "five_ms":
        await asyncio.sleep(FIVE_MS)
    elif FIGURE == "computing":
        compute()
    elif FIGURE == "latency":
        tally().late(n, began, text)
    tally().count(began)


def handle_in_thread(n: int, text: str) -> None:
    """The job, in a thread."""
    began = time.monotonic()
    if FIGURE == "five_ms":
        time.sleep(FIVE_MS)
    elif FIGURE == "computing":
        compute()
    elif FIGURE == "latency":
        tally().late(n, began, text)
    tally().count(began)


def compute() -> None:
    until = time.thread_time() + COMPUTING
    while time.thread_time() < until:
        pass


async def together(dispatch, count: int, width: int = 100) -> None:
    """For peers without a bulk call: so many dispatches at a time."""
    for start in range(0, count, width):
        batch = range(start, min(start + width, count))
        await asyncio.gather(*(dispatch(n, TEXT) for n in batch))


def chunks(count: int, size: int = 1000):
    """The numbers from 0 to ``count``, so many at a time."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


async def _dispatches(producer, milliseconds: int, callers: int) -> float:
    async with producer() as dispatch:

        async def caller(until: float) -> int:
            n = 0
            while time.perf_counter() < until or n < WARM:
                await dispatch(n, TEXT)
                n += 1
            return n

        await asyncio.gather(*(caller(0) for _ in range(callers)))
        began = time.perf_counter()
        until = began + milliseconds / 1000
        done = await asyncio.gather(*(caller(until) for _ in range(callers)))
        return sum(done) / (time.perf_counter() - began)


def _plain_dispatches(producer, milliseconds: int, callers: int) -> float:
    with producer() as dispatch, concurrent.futures.ThreadPoolExecutor(callers) as pool:

        def caller(until: float) -> int:
            n = 0
            while time.perf_counter() < until or n < WARM:
                dispatch(n, TEXT)
                n += 1
            return n

        list(pool.map(caller, [0] * callers))
        began = time.perf_counter()
        until = began + milliseconds / 1000
        return sum(pool.map(caller, [until] * callers)) / (time.perf_counter() - began)


async def _pace(producer, count: int, between: float = 0.01) -> None:
    """Dispatch to an idle worker, one job at a time; the first ones warm both sides up."""
    async with _as_async(producer) as dispatch:
        await _answer(dispatch(-1, TEXT))
        while not any(file.stat().st_size for file in TALLIES.iterdir()):
            await asyncio.sleep(0.05)
        for n in range(-20, count):
            await _answer(dispatch(n, f"{time.monotonic():060.9f}"))
            await asyncio.sleep(between)


@contextlib.asynccontextmanager
async def _as_async(producer):
    made = producer()
    if hasattr(made, "__aenter__"):
        async with made as dispatch:
            yield dispatch
    else:
        with made as dispatch:
            yield dispatch


async def _answer(value: object) -> None:
    if inspect.isawaitable(value):
        await value


def _run(value: object) -> object:
    """Run a coroutine on the fastest loop that this environment has; let anything else be."""
    if not inspect.iscoroutine(value):
        return value
    try:
        import uvloop  # noqa: PLC0415 - where the peer's pins have it
    except ImportError:
        return asyncio.run(value)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(value)


def main() -> None:
    """The command line."""
    name, verb, *numbers = sys.argv[1:]
    adapter = importlib.import_module(f"benchmarks.peers.{name}")
    counts = [int(number) for number in numbers]
    if verb == "dispatch":
        is_async = hasattr(adapter.producer(), "__aenter__")
        rate = (_dispatches if is_async else _plain_dispatches)(adapter.producer, *counts)
        print(_run(rate))
    elif verb == "pace":
        _run(_pace(adapter.producer, *counts))
    elif verb == "fill":
        began = time.perf_counter()
        _run(adapter.fill(*counts))
        print(counts[0] / (time.perf_counter() - began))
    elif verb != "prepare" or hasattr(adapter, "prepare"):
        _run(getattr(adapter, verb)(*counts))


if __name__ == "__main__":
    main()
