"""Workers that are killed, each at another step of what they do.

``python -m tests.faults.dying DRIVER PLACE [PLACE]`` reads lines from its input: a number and a
file. For each it makes a child, which works on that store and is killed at the step of that number;
the line that it answers says how the child ended, and after which step.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncqueue import BatchInfo, Context, Job, Queue, Worker, register_callback
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.sqlite import SqliteDriver

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue import Driver
    from asyncqueue.clock import Clock

VERBS = ("claim", "settle", "cancel", "latches", "enqueue")
LEASE = 600.0


class Notes:
    """A file that keeps what happened, whoever dies."""

    def __init__(self, path: str) -> None:
        self._path = path

    def add(self, what: str) -> None:
        with Path(self._path).open("a") as file:
            file.write(f"{what}\n")


class Works(Job, name="DyingWorks"):
    """Notes that it ran, or fails for good."""

    what: str
    good: bool = True

    async def handle(self, ctx: Context) -> None:
        step("in the handler")
        ctx.get(Notes).add(self.what)
        if not self.good:
            raise RuntimeError(self.what)
        step("at the end of the handler")

    def should_retry(self, error: Exception) -> bool:
        return False


class Hooked(Works, name="DyingHooked"):
    """One with a hook."""

    async def failed(self, ctx: Context, error: BaseException) -> None:
        step("in the hook")
        ctx.get(Notes).add(f"hook of {self.what}")


def place(kind: str, *where: str, clock: Clock | None = None) -> Driver:
    """The driver of a store in this place."""
    options: dict[str, Any] = {} if clock is None else {"clock": clock}
    if kind == "sqlite":
        return SqliteDriver(where[0], **options)
    if kind == "postgres":
        return PostgresDriver(where[0], schema=where[1], **options)
    return RedisDriver(where[0], prefix=where[1], **options)


def queue_on(driver: Driver, notes: Notes) -> Queue:
    """A queue whose callbacks write notes, too."""

    async def called(name: str, *_: Any) -> None:
        step(f"in {name}")
        notes.add(name)

    for name in ("then", "finally"):
        register_callback(name, _one(called, name), replace=True)
    register_callback("catch", _two(called, "catch"), replace=True)
    register_callback("chain catch", _one(called, "chain catch"), replace=True)
    return Queue(driver, services=[notes])


def _one(called: Callable[..., Any], name: str) -> Callable[..., Any]:
    return lambda given: called(name, given)


def _two(called: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(batch: BatchInfo, error: BaseException) -> Any:
        return called(name, batch, error)

    return call


# Dying

_left: int | None = None
_last = ""


def step(name: str) -> None:
    """Another step is done; the process is killed if it was to be the last."""
    global _left, _last  # noqa: PLW0603 - of a process that has no other purpose
    _last = name
    if _left is not None:
        _left -= 1
        if _left == 0:
            os.write(2, f"{name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def watch_steps(driver: Driver) -> None:
    """Count what goes to the store and what comes back as steps."""
    for verb in VERBS:
        setattr(driver, verb, _watched(getattr(driver, verb), verb))


def _watched(call: Callable[..., Any], verb: str) -> Callable[..., Any]:
    async def watched(*args: Any, **kwargs: Any) -> Any:
        step(f"before {verb}")
        answer = await call(*args, **kwargs)
        step(f"after {verb}")
        return answer

    return watched


async def work(driver: Driver, notes: Notes) -> None:
    """Run all there is, one job at a time."""
    watch_steps(driver)
    async with queue_on(driver, notes) as queue:
        await Worker(queue, concurrency=1, lease=LEASE, stop_when_empty=True).run()
    await driver.close()


def child(number: int, path: str, where: list[str]) -> None:
    """Work until that step, or to the end."""
    global _left  # noqa: PLW0603
    _left = number
    asyncio.run(work(place(*where), Notes(path)))


def main(where: list[str]) -> None:
    for line in sys.stdin:
        number, _, path = line.rstrip("\n").partition(" ")
        pid = os.fork()
        if pid == 0:
            child(int(number), path, where)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
