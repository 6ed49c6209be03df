"""A worker whose clock is wrong: how long a job is tried is judged by that of the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, Job, Queue, Worker
from asyncqueue.clock import SystemClock
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.errors import JobFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncqueue.drivers.base import Driver

HOUR = 3600.0


class TriedForAMinute(Job, retry_until=60, backoff=[0.01]):
    async def handle(self, ctx: Context) -> int:
        if ctx.attempt < 3:
            raise RuntimeError("not yet")
        return ctx.attempt


class TriedForAMoment(Job, retry_until=0.3, backoff=[0.1]):
    async def handle(self, ctx: Context) -> None:
        raise RuntimeError(f"attempt {ctx.attempt}")


@pytest.fixture(params=["postgres", "redis"])
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    """Of a store that has a clock of its own."""
    if request.param == "redis":
        url, prefix = (request.getfixturevalue(name) for name in ("redis_url", "redis_prefix"))
        driver: Driver = RedisDriver(url, prefix=prefix)
    else:
        schema = request.getfixturevalue("postgres_schema")
        driver = PostgresDriver(schema.dsn, schema=schema.name)
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    real = time.time

    def shift(seconds: float) -> None:
        monkeypatch.setattr(SystemClock, "time", staticmethod(lambda: real() + seconds))

    return shift


@pytest.mark.case("RTY-31")
async def test_ahead_it_does_not_give_up_too_early(
    driver: Driver, shift: Callable[[float], None]
) -> None:
    async with Queue(driver) as queue, Worker(queue, poll_interval=0.01):
        shift(HOUR)
        handle = await queue.dispatch(TriedForAMinute())
        assert await handle.result(timeout=20) == 3


@pytest.mark.case("RTY-31")
async def test_behind_it_does_not_give_up_too_late(
    driver: Driver, shift: Callable[[float], None]
) -> None:
    shift(-HOUR)
    async with Queue(driver) as queue, Worker(queue, poll_interval=0.01):
        handle = await queue.dispatch(TriedForAMoment())
        with pytest.raises(JobFailedError):
            await handle.result(timeout=20)
        assert (await handle.status()).attempts <= 4
