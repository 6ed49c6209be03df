"""Dispatches do not suffer for each other, for their transaction, or for a queue that closes."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    Context,
    DriverUnavailable,
    Job,
    JobFailed,
    JobProcessed,
    Queue,
    QueueClosed,
    State,
)
from asyncqueue.after_commit import after_commit, collect_after_commit
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.queue import dispatcher

from ..recorder import PATIENCE, Recorder, until
from .frail import frail

on_its_own_store = pytest.mark.parametrize("driver", ["memory"], indirect=True)
"""The test makes its store itself: once is enough."""


def noting():
    class Noting(Job, replace=True):
        n: int = 0

        async def handle(self, ctx: Context) -> int:
            return self.n

    return Noting


@on_its_own_store
async def test_a_record_that_cannot_be_stored_does_not_take_others_along(tmp_path, make_queue):
    driver = SqliteDriver(tmp_path / "queue.db")
    queue, sound = make_queue(driver), driver.enqueue

    async def enqueue(records, **options):
        if any(record.id == "bad" for record in records):
            raise ValueError("bad")
        return await sound(records, **options)

    driver.enqueue = enqueue
    job = noting()
    answers = await asyncio.gather(
        *(queue.dispatch(job(n), id="bad" if n == 2 else None) for n in range(5)),
        return_exceptions=True,
    )
    assert isinstance(answers.pop(2), ValueError)
    assert len({handle.id for handle in answers}) == 4
    assert await queue.size("default") == 4
    await driver.close()


@pytest.mark.parametrize(("at_once", "groups"), [(1, [40, 5]), (2, [20, 20, 5])])
@on_its_own_store
async def test_callers_are_divided_among_the_calls_that_the_store_takes_at_once(
    at_once, groups, tmp_path, make_queue
):
    driver = SqliteDriver(tmp_path / "queue.db")
    queue, sound = make_queue(driver), driver.enqueue
    await queue.ready()
    sizes: list[int] = []
    gate = asyncio.Event()

    async def enqueue(records, **options):
        sizes.append(len(records))
        await gate.wait()
        return await sound(records, **options)

    driver.enqueue, driver.enqueues_at_once = enqueue, at_once
    job = noting()
    first = [asyncio.create_task(queue.dispatch(job(n))) for n in range(40)]
    await until(lambda: sum(sizes) == 40)
    more = [asyncio.create_task(queue.dispatch(job(n))) for n in range(5)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert sizes == groups[:-1]  # Those who come later wait until one of the calls is over.
    gate.set()
    await asyncio.gather(*first, *more)
    assert sizes == groups
    assert await queue.size("default") == 45
    await driver.close()


@on_its_own_store
async def test_a_group_has_a_largest_size(tmp_path, make_queue, monkeypatch):
    monkeypatch.setattr(dispatcher, "LARGEST_GROUP", 10)
    driver = Gated(tmp_path / "queue.db")
    driver.enqueues_at_once = 1
    queue, job = make_queue(driver), noting()
    await queue.ready()
    await asyncio.gather(
        *(queue.dispatch_many([job(n) for n in range(4)]) for _ in range(4)), queue.dispatch(job())
    )
    assert driver.sizes == [12, 5]
    await driver.close()


@on_its_own_store
async def test_a_caller_that_gives_up_before_its_job_is_sent_stores_nothing(tmp_path, make_queue):
    driver = Gated(tmp_path / "queue.db")
    driver.enqueues_at_once = 1
    driver.gate.clear()
    queue, job = make_queue(driver), noting()
    await queue.ready()
    first = asyncio.create_task(queue.dispatch(job()))
    await until(lambda: driver.sizes == [1])
    gives_up, last = [asyncio.create_task(queue.dispatch(job())) for _ in range(2)]
    await asyncio.sleep(0)
    gives_up.cancel()
    await asyncio.wait([gives_up])
    driver.gate.set()
    await asyncio.gather(first, last)
    assert driver.sizes == [1, 1]
    assert await queue.size("default") == 2
    await driver.close()


@on_its_own_store
async def test_after_a_call_that_was_cancelled_before_it_began_there_are_others(
    tmp_path, make_queue
):
    """So the end of ``asyncio.run`` does it, in which others may still dispatch."""
    driver = Gated(tmp_path / "queue.db")
    queue, job = make_queue(driver), noting()
    await queue.ready()
    ended = asyncio.create_task(queue.dispatch(job()))
    await asyncio.sleep(0)
    (sending,) = queue._dispatcher._sending
    for one in (sending, ended):
        one.cancel()
    await asyncio.wait([sending, ended])
    async with asyncio.timeout(PATIENCE):
        await queue.dispatch(job())
    assert (driver.sizes, await queue.size("default")) == ([1], 1)
    await driver.close()


@on_its_own_store
async def test_whoever_goes_on_at_once_is_not_left_waiting(tmp_path, make_queue):
    driver = SqliteDriver(tmp_path / "queue.db")
    queue, job = make_queue(driver), noting()

    async def caller() -> None:
        for n in range(5):
            await queue.dispatch(job(n))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(caller() for _ in range(3)))
    assert await queue.size("default") == 15
    await driver.close()


class Gated(SqliteDriver):
    """Takes two calls at once, and lets none through before it is told to."""

    enqueues_at_once = 2

    def __init__(self, path) -> None:
        super().__init__(path)
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def enqueue(self, records, **options):
        self.sizes.append(len(records))
        await self.gate.wait()
        return await super().enqueue(records, **options)


@on_its_own_store
async def test_a_caller_that_is_alone_sends_its_own(tmp_path, make_queue):
    driver = Gated(tmp_path / "queue.db")
    queue, job = make_queue(driver), noting()
    for n in range(3):
        await queue.dispatch(job(n))
    driver.gate.clear()
    alone = asyncio.create_task(queue.dispatch(job(3)))
    await until(lambda: len(driver.sizes) == 4)
    others = [asyncio.create_task(queue.dispatch(job(n))) for n in range(4, 9)]
    await until(lambda: driver.sizes == [1, 1, 1, 1, 5])
    last = asyncio.create_task(queue.dispatch(job(9)))
    await asyncio.sleep(0)
    alone.cancel()  # Whoever waits is sent all the same.
    with pytest.raises(asyncio.CancelledError):
        await alone
    driver.gate.set()
    await asyncio.gather(*others, last)
    assert driver.sizes == [1, 1, 1, 1, 5, 1]
    assert await queue.size("default") == 9
    await driver.close()


@on_its_own_store
async def test_whoever_has_sent_its_own_lets_the_next_be_sent(tmp_path, make_queue):
    """Though the other call of the two that the store takes is still in flight."""
    driver = Gated(tmp_path / "queue.db")
    queue, job = make_queue(driver), noting()
    await queue.dispatch(job())
    own, driver.gate = asyncio.Event(), (other := asyncio.Event())
    alone = asyncio.create_task(queue.dispatch(job()))
    driver.gate = own
    await until(lambda: len(driver.sizes) == 2)
    driver.gate = other
    second = asyncio.create_task(queue.dispatch(job()))
    await until(lambda: len(driver.sizes) == 3)
    driver.gate = own
    third = asyncio.create_task(queue.dispatch(job()))
    await asyncio.sleep(0)
    assert len(driver.sizes) == 3
    own.set()
    try:
        await until(third.done, 5)
        assert not second.done()
    finally:
        other.set()
    await asyncio.gather(alone, second, third)
    await driver.close()


async def test_jobs_of_one_call_are_to_be_stored_in_one_part_of_the_store(queue, driver):
    """Else a store of several parts could have some of them, and not the others."""
    stored, sound = [], driver.enqueue

    async def enqueue(records, **options):
        stored.extend(records)
        return await sound(records, **options)

    driver.enqueue = enqueue
    job = noting()
    handles = await queue.dispatch_many([job(n) for n in range(3)])
    await queue.dispatch(job())
    assert [record.together for record in stored] == [handles[0].id] * 3 + [None]


@on_its_own_store
async def test_a_queue_that_closes_waits_for_the_caller_that_sends_its_own(tmp_path, make_queue):
    driver = Gated(tmp_path / "queue.db")
    queue, job = make_queue(driver), noting()
    await queue.dispatch(job(0))
    driver.gate.clear()
    alone = asyncio.create_task(queue.dispatch(job(1)))
    await until(lambda: len(driver.sizes) == 2)
    closing = asyncio.create_task(queue.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    driver.gate.set()
    assert not (await alone).duplicate
    await closing


@on_its_own_store
async def test_a_store_that_is_away_is_asked_once_for_the_whole_group(tmp_path, make_queue):
    queue = make_queue(frail(SqliteDriver(tmp_path / "queue.db")))
    await queue.ready()
    queue.driver.broken.add("enqueue")
    job = noting()
    answers = await asyncio.gather(
        *(queue.dispatch(job()) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(answer, DriverUnavailable) for answer in answers)
    assert queue.driver.calls["enqueue"] == 1
    await queue.driver.close()


async def test_whoever_comes_first_opens_the_store_for_all():
    class Counting(MemoryDriver):
        opened = 0

        async def open(self) -> None:
            self.opened += 1
            await asyncio.sleep(0)

    queue = Queue(driver := Counting())
    await asyncio.gather(*(queue.ready() for _ in range(5)))
    assert driver.opened == 1
    await queue.close()


async def test_a_queue_that_is_closed_while_it_opens_stays_closed():
    opening, may_open = asyncio.Event(), asyncio.Event()

    class Slow(MemoryDriver):
        is_open = False

        async def open(self) -> None:
            opening.set()
            await may_open.wait()
            self.is_open = True

        async def close(self) -> None:
            self.is_open = False

    queue = Queue(driver := Slow())
    queue._owns_driver = True
    using = asyncio.create_task(queue.ping())
    await opening.wait()
    closing = asyncio.create_task(queue.close())
    await asyncio.sleep(0)
    may_open.set()
    await closing
    with pytest.raises(QueueClosed):
        await using
    with pytest.raises(QueueClosed):
        await queue.ping()
    assert not driver.is_open


# After the commit


async def test_all_that_waits_for_a_commit_is_done_whatever_one_raises():
    done = []

    async def work(n):
        await asyncio.sleep(0)
        done.append(n)
        if n == 1:
            raise DriverUnavailable("the store is away")

    async def commit():
        async with collect_after_commit():
            for n in range(3):
                assert after_commit(lambda n=n: work(n))

    with pytest.raises(DriverUnavailable):
        await commit()
    assert done == [0, 1, 2]


async def test_a_cancellation_comes_after_all_that_waited_for_the_commit():
    done, begun = [], asyncio.Event()

    async def work(n):
        begun.set()
        await asyncio.sleep(0)
        done.append(n)

    async def commit():
        async with collect_after_commit():
            for n in range(3):
                after_commit(lambda n=n: work(n))

    committing = asyncio.create_task(commit())
    await begun.wait()
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert done == [0, 1, 2]


async def test_what_outlives_the_transaction_waits_for_it_no_longer():
    over = asyncio.Event()

    async def late():
        await over.wait()
        return after_commit(lambda: asyncio.sleep(0))

    async with collect_after_commit():
        outliving = asyncio.create_task(late())
        await asyncio.sleep(0)
    over.set()
    assert await outliving is False


# A handler's own transaction


@pytest.fixture
async def durable(tmp_path, clock, make_queue):
    queue = make_queue(frail(SqliteDriver(tmp_path / "own.db", clock=clock)))
    yield queue
    await queue.close()
    await queue.driver.close()


async def test_a_completion_is_told_even_if_what_waits_for_it_fails(durable, make_worker, caplog):
    job, events = noting(), Recorder(durable)

    class Pays(Job, max_attempts=1, replace=True):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction():
                await ctx.dispatch(job(), after_commit=True)
                durable.driver.broken.add("enqueue")

    handle = await durable.dispatch(Pays())
    async with make_worker(on=durable):
        await events.wait_for(JobProcessed)
        await until(lambda: "raised after its transaction completed it" in caplog.text)
    assert (await handle.status()).state is State.COMPLETED


@pytest.mark.parametrize("begins", ["before", "after"])
async def test_a_timeout_that_is_swallowed_cannot_be_completed_any_more(
    durable, make_worker, clock, begins
):
    begun, events = asyncio.Event(), Recorder(durable)

    class Stubborn(Job, max_attempts=1, timeout=10, replace=True):
        async def handle(self, ctx: Context) -> None:
            if begins == "before":
                async with ctx.transaction():
                    await self.swallow()
            else:
                await self.swallow()
                async with ctx.transaction():
                    pass

        async def swallow(self) -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    handle = await durable.dispatch(Stubborn())
    async with make_worker(on=durable, lease=60):  # Its renewal would wait for the transaction.
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        clock.advance(11)
        await events.wait_for(JobFailed)
    assert (await handle.status()).state is State.FAILED
