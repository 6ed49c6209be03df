"""Rules of the failed store: what failed for good is kept, and can come back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from asyncqueue.record import FINISHED, Extension, Filter, Limited, Source, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Rules,
    assert_fifo,
    claim,
    claim_one,
    end,
    enqueue_and_claim,
    ids,
    instant,
    look,
    needs,
    proves,
    record,
    records,
    run_to,
    settlement,
    state_of,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing.clock import Clock

FAILED = Filter(states=(State.FAILED,))


class FailedJobRules(Rules):
    """Failed jobs: kept, listed, requeued, pruned."""

    @proves("FLD-07", "FLD-09", "FLD-10")
    async def test_a_failed_job_is_kept_with_its_story(self, driver: Driver, clock: Clock) -> None:
        began = clock.time()
        await driver.enqueue([record("a", "reports", name="Kind", payload=b"\xff", priority=3)])
        clock.advance(1)
        got = await claim_one(driver, Source("reports"))
        clock.advance(1)
        story = settlement(got, State.FAILED, attempts=3, error="boom", traceback="Traceback…")
        assert await driver.settle([story]) == [True]
        (stored,) = (await driver.find(FAILED)).items
        assert (stored.id, stored.queue, stored.name) == ("a", "reports", "Kind")
        assert (stored.payload, stored.priority, stored.attempts) == (b"\xff", 3, 3)
        assert (stored.error, stored.traceback) == ("boom", "Traceback…")
        assert stored.created_at == instant(began)
        assert stored.started_at == instant(began + 1)
        assert stored.finished_at == instant(began + 2)

    @proves("FLD-08")
    async def test_a_failed_job_was_moved_not_copied(self, driver: Driver, other: Driver) -> None:
        await run_to(driver, "a", State.FAILED)
        assert await claim(driver) == []
        assert await claim(other) == []
        counts = (await driver.counts())["q"]
        assert (counts.pending, counts.processing, counts.failed) == (0, 0, 1)
        assert await driver.count(Filter()) == 1

    async def test_a_failed_job_has_no_retention(self, driver: Driver, clock: Clock) -> None:
        await end(driver, await enqueue_and_claim(driver), State.FAILED, retention=0)
        clock.advance(86_400)
        assert await state_of(driver, "a") == State.FAILED

    @proves("FLD-11")
    async def test_failed_jobs_are_listed_newest_first(self, driver: Driver, clock: Clock) -> None:
        """120 records in pages of 50."""
        names = [f"{n}" for n in range(120)]
        await driver.enqueue(records(*names))
        for got in reversed(await claim(driver, limit=120)):
            clock.advance(1)
            await end(driver, got, State.FAILED)
        pages = [
            ids((await driver.find(FAILED, limit=50, offset=start, order="finished")).items)
            for start in (0, 50, 100, 150)
        ]
        assert [len(page) for page in pages] == [50, 50, 20, 0]
        assert [id for page in pages for id in page] == names
        assert await driver.count(FAILED) == 120

    @proves("FLD-12", "FLD-17")
    @needs("requeue")
    async def test_a_requeued_job_starts_afresh(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("a", "emails", payload=b"data", priority=4, max_attempts=3)])
        got = await claim_one(driver, Source("emails"))
        await driver.settle([settlement(got, State.FAILED, exceptions=1, error="boom")])
        clock.advance(3600)
        assert await driver.requeue(FAILED) == ["a"]
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.state, stored.attempts, stored.queue) == (State.PENDING, 0, "emails")
        assert (stored.error, stored.traceback, stored.finished_at) == (None, None, None)
        assert stored.created_at == instant(clock.time())
        assert await driver.count(FAILED) == 0
        again = await claim_one(driver, Source("emails"))
        assert (again.payload, again.priority, again.max_attempts) == (b"data", 4, 3)
        assert (again.attempts, again.exceptions) == (1, 0)

    @proves("FLD-12")
    @needs("requeue", "extend")
    async def test_nothing_is_seen_of_what_became_of_a_requeued_job(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record("a", key="k")])
        got = await claim_one(driver)
        await driver.extend([Extension("a", got.token, 40, "half")], LEASE)
        clock.advance(5)
        story = settlement(
            got, State.FAILED, exceptions=1, result=b"r", error="e", traceback="t", attempt=b"1"
        )
        await driver.settle([story])
        assert await driver.requeue(Filter(ids=("a", "a"))) == ["a"]
        await driver.enqueue(records("new"))
        for _ in range(2):
            jobs = {job.id: job for job in (await driver.find(Filter())).items}
            assert replace(jobs["a"], id="new") == jobs["new"]
            await claim(driver)

    @proves("DRV-13")
    @needs("requeue")
    async def test_the_fence_does_not_start_afresh(self, driver: Driver) -> None:
        stale = await enqueue_and_claim(driver)
        await end(driver, stale, State.FAILED)
        await driver.requeue(FAILED)
        again = await claim_one(driver, worker="w2")
        assert again.token > stale.token
        assert await driver.settle([settlement(stale, State.COMPLETED)]) == [False]
        assert await state_of(driver, "a") == State.PROCESSING

    @proves("FLD-12")
    @needs("requeue")
    async def test_a_requeued_job_is_the_newest(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue(records("a", "b", "c"))
        a, b = await claim(driver, limit=2)
        await end(driver, b, State.FAILED)
        await end(driver, a, State.FAILED)
        clock.advance(1)
        assert sorted(await driver.requeue(FAILED)) == ["a", "b"]
        assert ids((await driver.find(Filter())).items) == ["b", "a", "c"]
        assert ids(await claim(driver)) == ["c", "a", "b"]

    @proves("FLD-12")
    @needs("requeue")
    async def test_those_requeued_together_come_in_the_order_of_their_dispatch(
        self, driver: Driver
    ) -> None:
        """Whatever their ids, and in whatever order they failed."""
        names = ["c", "a", "d", "b"]
        await driver.enqueue(records(*names))
        for one in reversed(await claim(driver)):
            await end(driver, one, State.FAILED)
        await driver.requeue(FAILED)
        assert_fifo(driver, ids(await claim(driver)), names)

    @proves("FLD-13", "FLD-18")
    @needs("requeue")
    async def test_exactly_the_meant_jobs_are_requeued(self, driver: Driver) -> None:
        for id in ("a", "b", "c"):
            await run_to(driver, id, State.FAILED)
        await run_to(driver, "x", State.FAILED, "elsewhere")
        await run_to(driver, "done", State.COMPLETED)
        assert await driver.requeue(Filter(ids=("a", "unknown", "done"))) == ["a"]
        assert await driver.requeue(Filter(source=Source("elsewhere"))) == ["x"]
        assert await driver.requeue(Filter(name="Other")) == []
        assert await driver.requeue(Filter(states=(State.COMPLETED,))) == []
        assert sorted(await driver.requeue(Filter(name="Kind"))) == ["b", "c"]
        assert await driver.requeue(Filter()) == []
        assert await state_of(driver, "done") == State.COMPLETED

    @proves("FLD-12")
    @needs("requeue")
    async def test_a_job_is_requeued_once(self, driver: Driver, other: Driver) -> None:
        """By many who ask at once."""
        for n in range(20):
            await run_to(driver, f"{n}", State.FAILED)
        requeues = (handle.requeue(FAILED) for handle in [driver, other] * 5)
        moved = [id for answer in await asyncio.gather(*requeues) for id in answer]
        assert sorted(moved) == sorted(f"{n}" for n in range(20))
        assert sorted(ids(await claim(driver))) == sorted(moved)

    @proves("FLD-19")
    @needs("requeue", "delete")
    async def test_a_forgotten_failed_job_is_gone(self, driver: Driver) -> None:
        await run_to(driver, "a", State.FAILED)
        await run_to(driver, "b", State.FAILED)
        assert await driver.delete(Filter(ids=("a",), states=(State.FAILED,))) == 1
        assert await look(driver, "a") is None
        assert await driver.requeue(Filter()) == ["b"]

    @proves("MON-10", "FLD-19")
    @needs("prune")
    async def test_pruning_removes_what_is_old(self, driver: Driver, clock: Clock) -> None:
        await run_to(driver, "old failure", State.FAILED)
        await end(driver, await enqueue_and_claim(driver, "old"), State.COMPLETED, retention=60)
        await end(driver, await enqueue_and_claim(driver, "kept"), State.COMPLETED, retention=900)
        clock.advance(600)
        await run_to(driver, "new failure", State.FAILED)
        assert await driver.prune(300) == 2
        assert await driver.prune(300) == 0
        left = (await driver.find(Filter())).items
        assert ids(left) == ["new failure", "kept"]

    @proves("MON-10", "FLD-19")
    @needs("prune")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
    async def test_pruning_goes_by_the_end_of_a_job(
        self, driver: Driver, clock: Clock, state: State
    ) -> None:
        """However long it waited before: in the instant when its time is over, and not before."""
        await driver.enqueue(records("kept", "failed"))
        clock.advance(9000)
        kept, failed = sorted(await claim(driver), key=lambda one: one.id, reverse=True)
        await end(driver, kept, state, retention=60)
        await end(driver, failed, State.FAILED)
        clock.advance(59)
        assert await driver.prune(60) == 0
        clock.advance(1)
        assert await driver.prune(61) == 1
        assert ids((await driver.find(Filter())).items) == ["failed"]
        assert await driver.prune(60) == 1

    @proves("MON-11")
    @needs("prune")
    async def test_pruning_leaves_live_work_alone(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("running"), record("waiting"), record("later", delay=9e6)])
        await claim_one(driver)
        clock.advance(8e6)
        assert await driver.prune(1) == 0
        assert await driver.count(Filter()) == 3

    @proves("MON-11")
    @needs("prune", "counts")
    @pytest.mark.parametrize("state", [State.PENDING, State.DELAYED, *FINISHED])
    async def test_pruning_forgets_no_queue_that_has_a_job(
        self, driver: Driver, clock: Clock, state: State
    ) -> None:
        got = await enqueue_and_claim(driver, queue="of its own")
        await driver.settle([settlement(got, state, delay=60, retention=60)])
        if state in FINISHED:
            assert await claim(driver, Source("of its own")) == []
        clock.advance(30)
        assert await driver.prune(60) == 0
        counts = (await driver.counts())["of its own"]
        assert getattr(counts, state.value) == 1

    @proves("MON-11")
    @needs("acquire", "prune", "counts")
    async def test_pruning_forgets_no_queue_in_which_somebody_waits_for_a_permit(
        self, driver: Driver
    ) -> None:
        await driver.acquire("one", "somebody", 1, 60)
        await driver.enqueue([record("a", "of its own", limits=(Limited("one", 1),))])
        assert await claim(driver, Source("of its own")) == []
        await driver.prune(1)
        assert (await driver.counts())["of its own"].pending == 1
        await driver.release("one")
        assert ids(await claim(driver, Source("of its own"))) == ["a"]

    @proves("MON-11")
    @needs("prune", "sweep")
    async def test_pruning_forgets_no_queue_in_which_a_job_runs(
        self, driver: Driver, clock: Clock
    ) -> None:
        await enqueue_and_claim(driver, "running", "of its own")
        assert await claim(driver, Source("of its own")) == []
        await driver.prune(1)
        counts = await driver.counts()
        assert counts["of its own"].processing == 1
        clock.advance(LEASE)
        assert await driver.sweep() == 1
        assert ids(await claim(driver, Source("of its own"))) == ["running"]
