"""Options of a dispatch together, and dispatches that do not happen."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta

import pytest

from asyncqueue import Context, Job, JobProcessed, JobQueued, Priority, State
from asyncqueue.record import Filter, Source
from asyncqueue.testing import FakeQueue

from ..recorder import PATIENCE


class Numbered(Job, name="OptionsNumbered", queue="own"):
    n: int = 0

    async def handle(self, ctx: Context) -> int:
        return self.n


@pytest.mark.case("DSP-04", "DSP-12", "DSP-19")
@pytest.mark.parametrize("by_name", [False, True])
async def test_a_delay_and_a_queue_go_together(queue, make_worker, clock, events, by_name):
    if by_name:
        handle = await queue.dispatch_named(
            "OptionsNumbered", {"n": 7}, "scheduled", delay=timedelta(minutes=10)
        )
    else:
        handle = await queue.dispatch(Numbered(7), queue="scheduled", delay=600)
    info = await handle.status()
    assert info.available_at == clock.now() + timedelta(minutes=10)
    assert (await queue.size("scheduled"), await queue.size("own")) == (1, 0)
    async with make_worker(["own", "default", "scheduled"]):
        clock.advance(599)
        await asyncio.sleep(0.03)
        assert (await handle.status()).state is State.DELAYED
        clock.advance(1)
        assert await handle.result(PATIENCE) == 7
    assert [event.queue for event in events.of(JobProcessed)] == ["scheduled"]


@pytest.mark.case("DSP-20", "DSP-26")
async def test_a_job_for_an_instant_starts_then(queue, make_worker, clock):
    handle = await queue.dispatch(Numbered(1), at=clock.now() + timedelta(hours=1))
    async with make_worker("own"):
        clock.advance(3599)
        await asyncio.sleep(0.03)
        assert (await handle.status()).state is State.DELAYED
        clock.advance(1)
        assert await handle.result(PATIENCE) == 1


@pytest.mark.case("DSP-20")
async def test_an_instant_that_is_over_is_now(queue, driver, clock, events):
    """A job for yesterday does not come before those that wait already."""
    first = await queue.dispatch(Numbered(1), queue="own")
    second = await queue.dispatch(Numbered(2), queue="own", at=clock.now() - timedelta(days=1))
    assert [event.delay for event in events.of(JobQueued)] == [0, 0]
    assert (await second.status()).available_at == clock.now()
    claimed = await driver.claim([Source("own")], 2, 60, "worker")
    assert [claim.id for claim in claimed.claims] == [first.id, second.id]


@pytest.mark.case("DSP-17", "DSP-21")
async def test_a_list_of_jobs_runs_in_its_order(queue, make_worker, events):
    handles = await queue.dispatch_many([Numbered(n) for n in (3, 1, 2)], queue="emails")
    assert await queue.size("emails") == 3
    async with make_worker("emails", concurrency=1):
        done = await events.wait_for(JobProcessed, 3)
    assert [event.job_id for event in done] == [handle.id for handle in handles]


@pytest.mark.case("DSP-28")
async def test_all_options_make_one_job(queue, driver, clock):
    options = {
        "priority": Priority.HIGH,
        "queue": "emails",
        "delay": 60,
        "max_attempts": 7,
        "timeout": 9,
        "backoff": [1, 2],
        "id": "mine",
    }
    for given in (options, dict(reversed(options.items()))):
        await queue.dispatch(Numbered(1), **given)
        (stored,) = (await driver.find(Filter())).items
        assert (stored.id, stored.queue, stored.priority) == ("mine", "emails", 10)
        assert (stored.max_attempts, stored.available_at) == (7, clock.time() + 60)
        assert await queue.cancel("mine")
        await driver.delete(Filter())
    with pytest.raises(ValueError, match="not both"):
        await queue.dispatch(Numbered(1), delay=60, at=clock.now())
    assert await driver.count(Filter()) == 0


@pytest.mark.case("DSP-22")
async def test_a_dispatch_under_a_condition():
    async def order(fake, *, confirmed):
        if confirmed:
            await fake.dispatch(Numbered(1))

    fake = FakeQueue()
    await order(fake, confirmed=False)
    fake.assert_nothing_pushed()
    await order(fake, confirmed=True)
    fake.assert_pushed(Numbered, times=1)


def _forget(fake):
    fake.dispatch(Numbered(1))
    gc.collect()


@pytest.mark.case("DSP-29")
async def test_a_dispatch_that_nobody_awaits_is_warned_of():
    fake = FakeQueue()
    with pytest.warns(RuntimeWarning, match="dispatch.*never awaited"):
        _forget(fake)
    await asyncio.sleep(0)
    fake.assert_nothing_pushed()
    assert await fake.size("own") == 0


@pytest.mark.case("DSP-24")
async def test_what_is_dispatched_can_be_asked_for_by_its_id(queue):
    handle = await queue.dispatch(Numbered(1))
    info = await queue.status(handle.id)
    assert (info.id, info.state) == (handle.id, State.PENDING)
