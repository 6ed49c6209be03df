"""Workers in processes of their own live through what happens to their server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Queue
from asyncqueue.drivers.redis import RedisDriver

from .acts import operator
from .working import RedisNumber

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ROOT = Path(__file__).parents[3]
PATIENCE = 20


class Hired:
    """A worker process, and what its jobs said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ran: list[int] = []

    async def until(self, count: int) -> None:
        """Return when so many different jobs have run."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while len(set(self.ran)) < count:
                line = await self._process.stdout.readline()
                assert line, "the worker has ended"
                self.ran.append(int(line))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def rest(self) -> list[int]:
        """What it said that was not read yet, once it has ended."""
        assert self._process.stdout is not None
        return [int(line) for line in (await self._process.stdout.read()).split()]


@contextlib.asynccontextmanager
async def hired(url: str, prefix: str, lease: float = 2.0) -> AsyncGenerator[Hired]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.drivers.redis.working", url, prefix, str(lease)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield Hired(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def producing(url: str, prefix: str) -> AsyncGenerator[Queue]:
    driver = RedisDriver(url, prefix=prefix, timeout=2)
    try:
        async with Queue(driver) as queue:
            yield queue
    finally:
        await driver.close()


async def test_a_restart_in_the_middle_of_work_loses_and_doubles_nothing(
    own_redis, redis_prefix: str
) -> None:
    """Stopped in good order and started again, with an append-only file."""
    server = own_redis("--appendonly", "yes")
    async with producing(server.url, redis_prefix) as queue, hired(server.url, redis_prefix) as one:
        await queue.dispatch_many([RedisNumber(n) for n in range(400)])
        await one.until(100)
        server.restart()
        await one.until(400)
        await queue.dispatch(RedisNumber(400))
        await one.until(401)
        assert sorted(one.ran) == list(range(401))
        assert (await queue.stats())["default"].failed == 0


@pytest.mark.faults
async def test_a_crash_of_the_server_loses_nothing_that_it_had_written(
    own_redis, redis_prefix: str
) -> None:
    """Kill -9 with appendfsync always."""
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    async with producing(server.url, redis_prefix) as queue, hired(server.url, redis_prefix) as one:
        await queue.dispatch_many([RedisNumber(n) for n in range(200)])
        await one.until(50)
        server.kill()
        server.start()
        await one.until(200)
        assert set(one.ran) == set(range(200))


@pytest.mark.faults
async def test_an_idle_worker_that_is_suspended_and_killed_keeps_one_job_until_its_lease_ends(
    redis_url: str, redis_prefix: str
) -> None:
    """Its next claim waits at the server, which hands the job out though nobody reads of it."""
    async with producing(redis_url, redis_prefix) as queue:
        async with hired(redis_url, redis_prefix) as one:
            for number in range(3):  # From then on its claims wait.
                await queue.dispatch(RedisNumber(number))
                await one.until(number + 1)
            while (await queue.stats())["default"].processing:
                await asyncio.sleep(0.01)
            one.signal(signal.SIGSTOP)
            await queue.dispatch_many([RedisNumber(number) for number in range(3, 8)])
            kept = (await queue.stats())["default"].processing
            assert kept <= 1  # None where it was stopped between two of them.
            one.signal(signal.SIGKILL)
        async with hired(redis_url, redis_prefix) as other:
            await other.until(5)
        assert sorted(other.ran) == list(range(3, 8))
        assert not kept or other.ran[-1] == 3


@pytest.mark.faults
async def test_a_worker_goes_on_when_a_silent_server_speaks_again(
    own_redis, redis_prefix: str
) -> None:
    """A black hole, then the way is open again; nobody helps the worker."""
    server = own_redis()
    async with producing(server.url, redis_prefix) as queue:
        async with hired(server.url, redis_prefix, lease=30) as one:
            await queue.dispatch_many([RedisNumber(n) for n in range(200)])
            await one.until(50)
            server.pause()
            await asyncio.sleep(2)  # Longer than the worker waits for an answer.
            server.resume()
            await queue.dispatch_many([RedisNumber(n) for n in range(200, 220)])
            await one.until(200)
        assert len(one.ran) == len(set(one.ran))


async def test_a_worker_goes_on_when_the_server_forgets_its_scripts(
    redis_url: str, redis_prefix: str
) -> None:
    async with (
        producing(redis_url, redis_prefix) as queue,
        operator(redis_url) as other,
        hired(redis_url, redis_prefix) as one,
    ):
        await queue.dispatch_many([RedisNumber(n) for n in range(100)])
        for at in range(10, 100, 10):
            await one.until(at)
            await other.call("SCRIPT", "FLUSH")
        await one.until(100)
        assert sorted(one.ran) == list(range(100))


async def test_a_killed_connection_is_made_again(redis_url: str, redis_prefix: str) -> None:
    """Both the one for calls and the one for wake-ups."""
    async with producing(redis_url, redis_prefix) as queue, operator(redis_url) as other:
        async with hired(redis_url, redis_prefix) as one:
            for at in range(5):
                await queue.dispatch(RedisNumber(at))
                await one.until(at + 1)
                for kind in ("normal", "pubsub"):
                    await other.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        assert sorted(one.ran) == list(range(5))
