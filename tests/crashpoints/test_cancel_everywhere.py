"""A call is cancelled at its k-th await, for every k: the same driver serves everybody after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Context, Job, Queue
from asyncqueue.record import Filter, State
from asyncqueue.testing.conformance.rules import LEASE, Q, claim, record, settlement

from .verbs import snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from asyncqueue import Driver
    from asyncqueue.testing import Clock

    Attempt = Callable[[Driver, int], Awaitable[Any]]

MOST = 60
CHECKED = 12
"""Calls at once, on whatever connections the cancelled one has left."""


class CancelledEverywhere(Job):
    number: int

    async def handle(self, ctx: Context) -> None: ...


class CancelAt:
    """Awaits something, and cancels the task that does at its k-th suspension."""

    def __init__(self, act: Awaitable[Any], k: int) -> None:
        self.act = act
        self.k = k

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self.act.__await__()
        steps = 0
        try:
            waiting = inner.send(None)
            while True:
                steps += 1
                if steps == self.k:
                    asyncio.current_task().cancel()
                try:
                    value = yield waiting
                except BaseException as error:
                    waiting = inner.throw(error)
                else:
                    waiting = inner.send(value)
        except StopIteration as done:
            return done.value


async def cancelled_at(act: Callable[[], Awaitable[Any]], k: int) -> bool:
    """Whether it was cancelled: it did not end before its k-th suspension."""

    async def run() -> None:
        await CancelAt(act(), k)

    task = asyncio.ensure_future(run())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return task.cancelled()


async def serves(driver: Driver, number: int) -> None:
    """Every one of several calls at once gets its own answer."""
    names = [f"check-{number}-{n}" for n in range(CHECKED)]
    answers = await asyncio.gather(*(driver.enqueue([record(name, "checks")]) for name in names))
    assert answers == [[None]] * CHECKED
    found = await asyncio.gather(*(driver.find(Filter(ids=(name,))) for name in names))
    assert [page.items[0].id for page in found] == names


async def enqueue(driver: Driver, k: int) -> bool:
    cancelled = await cancelled_at(lambda: driver.enqueue([record(f"a{k}"), record(f"b{k}")]), k)
    stored = (await driver.find(Filter(ids=(f"a{k}", f"b{k}")))).items
    assert len(stored) in ((0, 2) if cancelled else (2,)), "half of it was stored"
    return cancelled


async def claiming(driver: Driver, k: int) -> bool:
    await driver.enqueue([record(f"a{k}")])
    claims: list[Any] = []

    async def act() -> None:
        claims.extend((await driver.claim([Q], 1, LEASE, "w1")).claims)

    cancelled = await cancelled_at(act, k)
    driver.clock.advance(LEASE + 1)
    await driver.sweep()
    (again,) = await claim(driver)
    assert again.id == f"a{k}"
    if not cancelled:
        assert not (await driver.settle([settlement(claims[0], State.COMPLETED)]))[0]
    await driver.settle([settlement(again, State.COMPLETED)])
    return cancelled


async def settling(driver: Driver, k: int) -> bool:
    await driver.enqueue([record(f"a{k}")])
    (held,) = await claim(driver)
    cancelled = await cancelled_at(lambda: driver.settle([settlement(held, State.COMPLETED)]), k)
    await driver.settle([settlement(held, State.COMPLETED)])
    (job,) = (await driver.find(Filter(ids=(f"a{k}",)))).items
    assert job.state is State.COMPLETED
    return cancelled


async def looking(driver: Driver, k: int) -> bool:
    return await cancelled_at(lambda: snapshot(driver), k)


async def dispatching(driver: Driver, k: int) -> bool:
    queue = Queue(driver)

    async def dispatch_some() -> None:
        await asyncio.gather(
            *(queue.dispatch(CancelledEverywhere(n), id=f"d{k}-{n}") for n in range(4))
        )

    cancelled = await cancelled_at(dispatch_some, k)
    handles = [await queue.dispatch(CancelledEverywhere(n), id=f"d{k}-{n}") for n in range(4)]
    assert [handle.id for handle in handles] == [f"d{k}-{n}" for n in range(4)]
    await queue.close()
    return cancelled


ACTS = [enqueue, claiming, settling, looking, dispatching]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_cancelled_at_every_await(act: Attempt, driver: Driver, clock: Clock):
    await driver.open()
    try:
        for k in range(1, MOST):
            cancelled = await act(driver, k)
            await asyncio.wait_for(serves(driver, k), 20)
            if not cancelled:
                break
        else:
            pytest.fail("it never came to its end")
    finally:
        await driver.close()
