"""Lanes: one queue, three names, and workers that serve one of them or all."""

from __future__ import annotations

import pytest

from asyncqueue import Context, Job, JobProcessed, Priority

from ..recorder import PATIENCE

LANES = ("high", "normal", "low")


class Noted(Job, name="LanesNoted", queue="emails"):
    async def handle(self, ctx: Context) -> int:
        return ctx.priority


async def sizes(queue):
    return [await queue.size(f"emails:{lane}") for lane in LANES]


@pytest.mark.case("PRI-02")
async def test_a_priority_at_dispatch_is_a_lane(queue):
    await queue.dispatch(Noted(), priority=Priority.HIGH)
    assert await sizes(queue) == [1, 0, 0]
    assert await queue.size("emails") == 1


def by_customer(job):
    if job.urgent:
        return Priority.HIGH
    return Priority.NORMAL if job.paid else Priority.LOW


@pytest.mark.case("PRI-05", "PRI-06", "PRI-07")
async def test_a_job_finds_its_own_lane(queue):
    class Mails(Job, queue="emails", priority=by_customer):
        urgent: bool = False
        paid: bool = False

        async def handle(self, ctx: Context) -> None: ...

    await queue.dispatch(Mails(urgent=True))
    assert await sizes(queue) == [1, 0, 0]
    await queue.dispatch(Mails(paid=True))
    assert await sizes(queue) == [1, 1, 0]
    await queue.dispatch(Mails())
    assert await sizes(queue) == [1, 1, 1]
    await queue.dispatch(Mails(), priority=Priority.HIGH)
    assert await sizes(queue) == [2, 1, 1]


@pytest.mark.case("PRI-03", "PRI-13")
async def test_high_before_normal_before_low(queue, make_worker, events):
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH) * 2:
        await queue.dispatch(Noted(), priority=priority)
    async with make_worker("emails", concurrency=1):
        done = await events.wait_for(JobProcessed, 6)
    ran = [(await queue.status(event.job_id)).priority for event in done]
    assert ran == [10, 10, 1, 1, 0, 0]


@pytest.mark.case("PRI-04")
async def test_a_worker_for_each_lane(queue, make_worker):
    slots = dict(zip(LANES, (5, 3, 1), strict=True))
    workers = {lane: make_worker(f"emails:{lane}", concurrency=n) for lane, n in slots.items()}
    handles = {lane: await queue.dispatch(Noted(), queue=f"emails:{lane}") for lane in LANES}
    for lane, priority in zip(LANES, (10, 1, 0), strict=True):
        others = [handles[other] for other in LANES[LANES.index(lane) + 1 :]]
        async with workers[lane]:
            assert await handles[lane].result(PATIENCE) == priority
            assert {(await other.status()).attempts for other in others} <= {0}
        assert workers[lane].totals.total() == 1
