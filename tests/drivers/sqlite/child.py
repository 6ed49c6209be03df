"""What other processes do in these tests: ``python child.py COMMAND PATH ...``."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.errors import DriverUnavailable
from asyncqueue.record import Record, Settlement, Source, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {}


def command(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    COMMANDS[function.__name__] = function
    return function


def say(words: str) -> None:
    print(words, flush=True)


def record(number: int, size: int = 10) -> Record:
    return Record(id=f"{os.getpid()}-{number}", queue="q", name="kind", payload=b"p" * size)


@contextlib.asynccontextmanager
async def opened(path: str) -> AsyncGenerator[SqliteDriver]:
    driver = SqliteDriver(path)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


@command
async def enqueue_for_ever(path: str) -> None:
    """Say every id, once it is stored."""
    async with opened(path) as driver:
        for number in itertools.count():
            batch = [record(number * 10 + each) for each in range(10)]
            await driver.enqueue(batch)
            say("\n".join(each.id for each in batch))


@command
async def enqueue_one(path: str) -> None:
    """Wait for a line, then store a job: once per line."""
    async with opened(path) as driver:
        say("ready")
        for number in itertools.count():
            line = await asyncio.to_thread(sys.stdin.readline)
            if not line:
                return
            await driver.enqueue([record(number)])
            say("stored")


@command
async def enqueue_and_claim(path: str, count: str) -> None:
    """Store some jobs and claim whatever there is, until nothing is left; say what was claimed."""
    async with opened(path) as driver:

        async def produce() -> None:
            for number in range(int(count)):
                await driver.enqueue([record(number)])

        producing = asyncio.create_task(produce())
        while True:
            done = producing.done()
            claims = (await driver.claim([Source("q")], 7, 30, f"{os.getpid()}")).claims
            if done and not claims:
                break
            for claim in claims:
                say(claim.id)
            await driver.settle(
                [Settlement(c.id, c.token, State.COMPLETED, c.attempts) for c in claims]
            )
        await producing


@command
async def enqueue_after_fork(path: str) -> None:
    """As enqueue_one, in a forked process, with the driver of a parent that is gone."""
    driver = SqliteDriver(path)
    await driver.open()
    if os.fork():
        os._exit(0)
    asyncio.run(_enqueue_after_fork(driver))
    os._exit(0)


async def _enqueue_after_fork(driver: SqliteDriver) -> None:
    await driver.close()
    await driver.open()
    say("ready")
    for number, _ in enumerate(sys.stdin):
        await driver.enqueue([record(number)])
        say("stored")
    await driver.close()


@command
async def fill_disk(path: str, megabytes: str) -> None:
    """Store large jobs until the process may write no more; say what was stored."""
    async with opened(path) as driver:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = int(megabytes) * 2**20
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with contextlib.suppress(DriverUnavailable):
            for number in itertools.count():
                await driver.enqueue([record(number, size=2**18)])
                say(f"{os.getpid()}-{number}")
        try:
            await driver.enqueue([record(-1, size=2**18), record(-2, size=2**18)])
        except DriverUnavailable as error:
            say("refused:" + "full" * ("disk" in str(error)))


@command
async def open_as_nobody(path: str) -> None:
    """Say which error it is to open, or to write, as somebody without rights."""
    os.setgid(65534)
    os.setuid(65534)
    try:
        async with opened(path) as driver:
            await driver.enqueue([record(0)])
    except DriverUnavailable as error:
        say("_".join(str(error).split()))


if __name__ == "__main__":
    asyncio.run(COMMANDS[sys.argv[1]](*sys.argv[2:]))
