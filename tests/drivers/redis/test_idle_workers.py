"""Idle workers whose next claim waits at the server."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, Job, Queue, State, Worker
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.record import Filter

from .test_waiting_claims import blocked, port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PATIENCE = 20
__all__ = ["port"]


class Idle(Job, name="idle"):
    number: int

    async def handle(self, ctx: Context) -> int:
        return self.number


class Counting(RedisDriver):
    """Counts the claims of a worker that goes and looks."""

    looks = 0

    async def claim(self, *args):
        self.looks += 1
        return await super().claim(*args)


@pytest.fixture
async def queue(redis_url: str, redis_prefix: str) -> AsyncGenerator[Queue]:
    driver = Counting(redis_url, prefix=redis_prefix, timeout=2)
    async with Queue(driver) as queue:
        yield queue
    await driver.close()


async def until_it_waits(queue: Queue, port: int) -> None:
    """It has run a job, and its next claim waits."""
    number = 0
    async with asyncio.timeout(PATIENCE):
        while not blocked(port):
            await (await queue.dispatch(Idle(number))).result(timeout=PATIENCE)
            number += 1


def dispatch_elsewhere(driver: RedisDriver) -> None:
    """Dispatch from another thread while this one stands still."""

    async def dispatch() -> None:
        twin = driver.clone()
        async with Queue(twin) as queue:
            await queue.dispatch(Idle(5), id="late")
        await twin.close()

    thread = threading.Thread(target=lambda: asyncio.run(dispatch()))
    thread.start()
    thread.join()


async def late(queue: Queue) -> tuple[State, int]:
    """What became of the job that came last."""
    (job,) = (await queue.driver.find(Filter(ids=("late",)))).items
    return job.state, job.attempts


async def test_an_idle_worker_is_handed_its_jobs(queue: Queue, port: int) -> None:
    async with Worker(queue, poll_interval=30):
        await until_it_waits(queue, port)
        queue.driver.looks = 0
        for number in range(10):
            handle = await queue.dispatch(Idle(number))
            assert await handle.result(timeout=PATIENCE) == number
        assert queue.driver.looks == 0


async def test_a_burst_is_claimed_by_the_worker_itself(queue: Queue, port: int) -> None:
    async with Worker(queue, poll_interval=30):
        await until_it_waits(queue, port)
        handles = await queue.dispatch_many([Idle(number) for number in range(100)])
        results = [await handle.result(timeout=PATIENCE) for handle in handles]
        assert results == list(range(100))


async def test_jobs_of_other_priorities_do_not_wait(queue: Queue, port: int) -> None:
    """Nor those that are delayed, or come to a second queue."""
    async with Worker(queue, queues=["default", "second"], poll_interval=30):
        await until_it_waits(queue, port)
        others = [
            await queue.dispatch(Idle(1), priority=3),
            await queue.dispatch(Idle(2), queue="second"),
            await queue.dispatch(Idle(3), delay=0.05),
            await queue.dispatch(Idle(4)),
        ]
        assert [await one.result(timeout=PATIENCE) for one in others] == [1, 2, 3, 4]


async def test_a_worker_that_has_stopped_takes_nothing(queue: Queue, port: int) -> None:
    async with Worker(queue, poll_interval=30):
        await until_it_waits(queue, port)
    assert blocked(port) == 0
    handle = await queue.dispatch(Idle(1))
    assert (await handle.status()).state is State.PENDING


async def test_what_comes_in_the_instant_of_the_stop_is_run_or_handed_back(
    queue: Queue, port: int
) -> None:
    """The server had claimed it for the worker, which knew nothing of it."""
    async with asyncio.timeout(PATIENCE):
        worker = Worker(queue, poll_interval=30)
        await worker.start()
        await until_it_waits(queue, port)
        dispatch_elsewhere(queue.driver)
        await worker.stop()
    assert await late(queue) in {(State.PENDING, 0), (State.COMPLETED, 1)}


def test_the_end_of_the_event_loop_leaves_no_job_to_its_lease(
    redis_url: str, redis_prefix: str, port: int
) -> None:
    async def work(driver: RedisDriver) -> None:
        try:
            await Worker(Queue(driver), poll_interval=30).run()
        finally:
            await driver.close()

    async def ends(driver: RedisDriver) -> None:
        async with Queue(driver) as queue:
            working = asyncio.create_task(work(driver))
            await until_it_waits(queue, port)
            dispatch_elsewhere(driver)
        assert not working.done()

    async def look() -> tuple[State, int]:
        driver = RedisDriver(redis_url, prefix=redis_prefix)
        async with Queue(driver) as queue:
            found = await late(queue)
        await driver.close()
        return found

    asyncio.run(ends(RedisDriver(redis_url, prefix=redis_prefix, timeout=2)))
    assert asyncio.run(look()) in {(State.PENDING, 0), (State.COMPLETED, 1)}
