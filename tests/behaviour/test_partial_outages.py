"""A part of a store is away: what concerns the others goes on, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from asyncqueue import Context, Job, State
from asyncqueue.errors import DriverUnavailable, PartlyUnavailable
from asyncqueue.events import JobProcessed, JobProcessing
from asyncqueue.record import Hold

from ..recorder import PATIENCE, Recorder, until


class Away(Job, queue="away"):
    """Its part of the store is away when it is told to."""

    async def handle(self, ctx: Context) -> int:
        await ctx.get(asyncio.Event).wait()
        return 1


class Here(Job, queue="here"):
    async def handle(self, ctx: Context) -> int:
        return 2


def parted(driver: Any) -> Any:
    """A handle on the store, of which the part with queue ``away`` is away while ``twin.away``."""
    twin = driver.clone()
    twin.clock = driver.clock
    twin.away = False
    twin.homes = {}
    sound = {verb: getattr(twin, verb) for verb in ("enqueue", "claim", "settle")}

    async def partly(verb: str, things: list[Any], is_away: list[bool], nothing: Any) -> Any:
        if not twin.away or not any(is_away):
            return await sound[verb](things)
        here = [thing for thing, away in zip(things, is_away, strict=True) if not away]
        answers = iter(await sound[verb](here) if here else [])
        told = [nothing if away else next(answers) for away in is_away]
        missing = frozenset(n for n, away in enumerate(is_away) if away)
        raise PartlyUnavailable("a part of the store is away", told, missing)

    async def enqueue(records: list[Any], **_: Any) -> Any:
        return await partly("enqueue", records, [one.queue == "away" for one in records], None)

    async def claim(*words: Any) -> Any:
        claimed = await sound["claim"](*words)
        twin.homes |= {one.id: one.queue for one in claimed.claims}
        return claimed

    async def settle(ends: list[Any]) -> Any:
        away = [twin.homes[one.id] == "away" for one in ends]
        return await partly("settle", ends, away, False)

    twin.enqueue, twin.claim, twin.settle = enqueue, claim, settle
    return twin


async def test_outcomes_of_others_are_stored_and_the_rest_later(
    driver, make_queue, make_worker, caplog
):
    """An outcome waits for its part of the store, and no other outcome waits with it."""
    store, may_end = parted(driver), asyncio.Event()
    queue = make_queue(store, services=[may_end])
    events = Recorder(queue)
    async with make_worker(["away", "here"], on=queue, concurrency=4):
        waiting = [await queue.dispatch(Away()) for _ in range(3)]
        await until(lambda: len(events.of(JobProcessing)) == 3)
        store.away = True
        may_end.set()
        for _ in range(20):
            handle = await queue.dispatch(Here())
            assert await handle.result(PATIENCE) == 2
        assert [(await one.status()).state for one in waiting] == [State.PROCESSING] * 3
        store.away = False
        for one in waiting:
            assert await one.result(PATIENCE) == 1
        infos = [await one.status() for one in waiting]
        assert [(info.state, info.attempts) for info in infos] == [(State.COMPLETED, 1)] * 3
        await until(lambda: len(events.of(JobProcessed)) == 23)
    told = [line for line in caplog.messages if "store how some jobs ended" in line]
    assert len(told) == 2  # When it began and when it was over.


async def test_what_was_stored_is_not_stored_again(driver, make_queue, make_worker):
    class Also(Away, queue="here"):
        """Ends in the same moment."""

    store, may_end = parted(driver), asyncio.Event()
    queue = make_queue(store, services=[may_end])
    told, partly = Counter[str](), store.settle

    async def settle(ends: list[Any]) -> Any:
        told.update(one.id for one in ends)
        return await partly(ends)

    store.settle = settle
    jobs = [job() for _ in range(3) for job in (Also, Away)]
    handles = [await queue.dispatch(job) for job in jobs]
    events = Recorder(queue)
    async with make_worker(["away", "here"], on=queue, concurrency=6):
        await until(lambda: len(events.of(JobProcessing)) == 6)
        store.away = True
        may_end.set()
        for handle in handles[::2]:
            await handle.result(PATIENCE)
        store.away = False
        for handle in handles[1::2]:
            await handle.result(PATIENCE)
    assert [told[handle.id] for handle in handles[::2]] == [1, 1, 1]


async def test_a_worker_ends_while_a_part_of_the_store_is_away(
    driver, make_queue, make_worker, caplog
):
    """It waits for what it holds as long as for a whole store, and says what it leaves."""
    store, may_end = parted(driver), asyncio.Event()
    queue = make_queue(store, services=[may_end])
    worker = make_worker(["away", "here"], on=queue, concurrency=2, drain_timeout=0.3)
    async with worker:
        await queue.dispatch(Away())
        handle = await queue.dispatch(Here())
        await handle.result(PATIENCE)
        store.away = True
        may_end.set()
        await until(lambda: "store how some jobs ended" in caplog.text)
    assert "1 outcomes could not be stored" in caplog.text


@pytest.mark.case("DSP-21")
async def test_each_caller_is_told_of_his_own_jobs(driver, make_queue):
    """Dispatches of one moment share a call to the store, and nothing else."""
    store = parted(driver)
    queue = make_queue(store)
    await queue.size("here")
    store.away = True
    dispatches = [queue.dispatch(job()) for job in (Here, Away, Here, Away)]
    dispatches.append(queue.dispatch_many([Here(), Here()]))
    here, away, also, there, many = await asyncio.gather(*dispatches, return_exceptions=True)
    assert isinstance(away, DriverUnavailable)
    assert isinstance(there, DriverUnavailable)
    assert not any(handle.duplicate for handle in (here, also, *many))
    assert await queue.size("here") == 4
    assert await queue.size("away") == 0


async def test_leases_are_lost_one_by_one(driver, make_queue, make_worker, clock, monkeypatch):
    """What a part says of its jobs counts while another is away."""
    causes: dict[str, str | None] = {}
    may_end = asyncio.Event()

    class Waiting(Job):
        async def handle(self, ctx: Context) -> None:
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                causes[ctx.job_id] = ctx.cause
                raise

    queue = make_queue(driver)
    events = Recorder(queue)
    away, held, lost = [await queue.dispatch(Waiting()) for _ in range(3)]

    was_away = False

    async def extend(_self: Any, extensions: list[Any], lease: float) -> list[Hold]:
        nonlocal was_away
        if was_away:
            return [Hold.HELD] * len(extensions)
        was_away = True
        told = [Hold.LOST if one.id == lost.id else Hold.HELD for one in extensions]
        missing = frozenset(n for n, one in enumerate(extensions) if one.id == away.id)
        raise PartlyUnavailable("a part of the store is away", told, missing)

    monkeypatch.setattr(type(driver), "extend", extend)
    async with make_worker(on=queue, concurrency=4, lease=3):
        await until(lambda: len(events.of(JobProcessing)) == 3)
        clock.advance(1)
        await until(lambda: causes)
        assert causes == {lost.id: "lease_lost"}
        may_end.set()
        await held.result(PATIENCE)
        await away.result(PATIENCE)
    assert len(events.of(JobProcessed)) == 2
