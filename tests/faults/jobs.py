"""The jobs of the scenarios. Their bodies note what they do in the journal."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asyncqueue import Context, Job, Limit

from .journal import Journal

if TYPE_CHECKING:
    from collections.abc import Generator

JOURNAL: Final = "FAULTS_JOURNAL"
"""The variable that names the journal of a process."""
EVERY: Final = 0.5
"""Seconds between two slots of the schedule."""
_runs = itertools.count(1)
_open: dict[str, Journal] = {}


def journal() -> Journal:
    """The journal of this process."""
    path = os.environ[JOURNAL]
    if path not in _open:
        _open[path] = Journal(Path(path))
    return _open[path]


@contextlib.contextmanager
def noted(ctx: Context, key: str = "") -> Generator[None]:
    """A body: its beginning, and how it ended."""
    said: dict[str, Any] = {"run": next(_runs), "attempt": ctx.attempt, "key": key}
    journal().note("started", ctx.job_id, **said)
    try:
        yield
    except asyncio.CancelledError:
        journal().note("cancelled", ctx.job_id, **said)
        raise
    except BaseException:
        journal().note("raised", ctx.job_id, **said)
        raise
    journal().note("finished", ctx.job_id, **said)


class Labour(Job, name="FaultLabour", max_attempts=10, timeout=120):
    """Takes so many seconds, the first time ``first``; its first ``fails`` attempts raise."""

    seconds: float = 0.05
    fails: int = 0
    first: float | None = None

    async def handle(self, ctx: Context) -> None:
        with noted(ctx):
            first = self.first is not None and ctx.attempt == 1
            await asyncio.sleep(self.first if first else self.seconds)
            if ctx.attempt <= self.fails:
                raise ValueError("one of the errors that are to be expected")

    async def failed(self, ctx: Context, error: BaseException) -> None:
        journal().note("called", ctx.job_id, state="failed")


class Blocking(Job, name="FaultBlocking", max_attempts=10, timeout=120):
    """Blocks the event loop, with the interpreter lock free."""

    seconds: float

    async def handle(self, ctx: Context) -> None:
        with noted(ctx):
            time.sleep(self.seconds)


class Gripping(Job, name="FaultGripping", max_attempts=10, timeout=120):
    """Keeps the interpreter lock, the first time: not even other threads run meanwhile."""

    seconds: float

    async def handle(self, ctx: Context) -> None:
        with noted(ctx):
            if ctx.attempt == 1:
                # Unlike CDLL this does not let go of the lock.
                ctypes.PyDLL(None).usleep(int(self.seconds * 1e6))


class Soon(Job, name="FaultSoon", max_attempts=10, backoff=3.0):
    """Fails once, and comes back long after its lease would have run out."""

    async def handle(self, ctx: Context) -> None:
        with noted(ctx):
            if ctx.attempt == 1:
                raise ValueError("one of the errors that are to be expected")


class Unique(Job, name="FaultUnique", max_attempts=10, timeout=120, unique=lambda job: job.key):
    """One of its key at a time lives. Takes so many seconds, the first time ``first``."""

    key: str
    seconds: float
    first: float = 0.0

    async def handle(self, ctx: Context) -> None:
        with noted(ctx, self.key):
            await asyncio.sleep(self.first if ctx.attempt == 1 else self.seconds)


class Limited(
    Job,
    name="FaultLimited",
    max_attempts=10,
    timeout=120,
    limit=Limit("fault_limit", concurrency=1, by=lambda job: job.key),
):
    """One of its key at a time runs."""

    key: str
    seconds: float

    async def handle(self, ctx: Context) -> None:
        with noted(ctx, self.key):
            await asyncio.sleep(self.seconds)


class Poison(Job, name="FaultPoison", max_attempts=3):
    """Ends its process."""

    how: str

    async def handle(self, ctx: Context) -> None:
        with noted(ctx):
            # So far the others that were claimed with it have begun, too.
            await asyncio.sleep(0.05)
            journal().note("died")
            DEADLY[self.how]()

    async def failed(self, ctx: Context, error: BaseException) -> None:
        journal().note("called", ctx.job_id, state=type(error).__name__)


def _no_memory() -> None:
    # What the kernel does to whoever takes too much, without making it do so to others.
    resource.setrlimit(resource.RLIMIT_AS, (2**20, 2**20))
    try:
        bytearray(2**30)
    except MemoryError:
        os.abort()


DEADLY: Final = {
    "exit": lambda: os._exit(1),
    "segmentation fault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "no memory": _no_memory,
}


class Mannered(Job, name="FaultMannered", max_attempts=10, timeout=120):
    """What handlers do with a cancellation."""

    manner: str
    seconds: float = 60.0

    async def handle(self, ctx: Context) -> None:
        with noted(ctx):
            await MANNERS[self.manner](self.seconds)

    async def failed(self, ctx: Context, error: BaseException) -> None:
        journal().note("called", ctx.job_id, state="failed")


async def _heeds(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _returns(seconds: float) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(seconds)


async def _ignores(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


async def _cleans_up(seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.sleep(0.5)


async def _raises(seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        raise LookupError("an error of its own") from None


async def _blocks(_: float) -> None:
    time.sleep(3.0)


MANNERS: Final = {
    "heeds": _heeds,
    "returns": _returns,
    "ignores": _ignores,
    "cleans up": _cleans_up,
    "raises": _raises,
    "blocks": _blocks,
}


class Heavy(Job, name="FaultHeavy", max_attempts=10):
    """Has a payload of some size."""

    load: bytes = b""

    async def handle(self, ctx: Context) -> None:
        with noted(ctx):
            await asyncio.sleep(0.02)


class Plain(Job, name="FaultPlain", max_attempts=10, timeout=120):
    """Runs in a thread."""

    seconds: float

    def handle(self, ctx: Context) -> None:
        with noted(ctx):
            time.sleep(self.seconds)


class Confidential(Job, name="FaultConfidential", max_attempts=1, unique=lambda job: job.secret):
    """Knows something that only those who hold the key may learn."""

    secret: str
    fails: bool = False

    async def handle(self, ctx: Context) -> str:
        with noted(ctx):
            if self.fails:
                raise ValueError("one of the errors that are to be expected")
            return self.secret
