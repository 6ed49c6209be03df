"""Rules of claiming: the right jobs, in the right order, each to one worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import Filter, Source, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    REAL_SECONDS,
    Q,
    Rules,
    assert_fifo,
    claim,
    claim_one,
    end,
    ids,
    instant,
    lane,
    look,
    needs,
    proves,
    record,
    records,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Claim
    from asyncqueue.testing.clock import Clock


class ClaimRules(Rules):
    """What workers may rely on when they ask for jobs."""

    @proves("DRV-23")
    async def test_nothing_waiting_gives_nothing(self, driver: Driver) -> None:
        claimed = await driver.claim([Q, Source("unknown")], 10, LEASE, "w1")
        assert (claimed.claims, claimed.due_in) == ([], None)

    @proves("DRV-24")
    async def test_a_claim_counts_the_attempt_and_the_token(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(records("a"))
        clock.advance(2)
        got = await claim_one(driver, worker="w7")
        assert got.attempts == 1
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.state, stored.attempts, stored.worker) == (State.PROCESSING, 1, "w7")
        assert stored.started_at == instant(clock.time())
        await end(driver, got, State.PENDING)
        clock.advance(3)
        again = await claim_one(driver)
        assert again.attempts == 2
        assert again.token > got.token
        stored = await look(driver, "a")
        assert stored is not None
        assert stored.attempts == 2
        assert stored.started_at == instant(clock.time())

    @proves("DRV-23", "DRV-24")
    async def test_a_claimed_job_is_not_claimed_again(self, driver: Driver) -> None:
        await driver.enqueue([record("a"), record("later", delay=60)])
        assert ids(await claim(driver)) == ["a"]
        assert await claim(driver, worker="w2") == []

    async def test_a_limit_is_kept(self, driver: Driver) -> None:
        await driver.enqueue(records("a", "b", "c"))
        assert ids(await claim(driver, limit=2)) == ["a", "b"]
        assert ids(await claim(driver, limit=2)) == ["c"]

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_a_limit_of_nothing_claims_nothing(self, driver: Driver, limit: int) -> None:
        await driver.enqueue(records("a"))
        assert await claim(driver, limit=limit) == []
        assert ids(await claim(driver)) == ["a"]

    async def test_no_sources_give_nothing(self, driver: Driver) -> None:
        await driver.enqueue(records("a"))
        assert (await driver.claim([], 10, LEASE, "w1")).claims == []

    @proves("WRK-19")
    async def test_sources_come_strictly_in_their_order(self, driver: Driver) -> None:
        """A list of queues is a strict order, whatever the priorities."""
        jobs = [record("b1", "second", priority=10), record("a1", "first"), record("a2", "first")]
        await driver.enqueue([*jobs, record("c1", "third", priority=99)])
        sources = [Source("first"), Source("second"), Source("third")]
        assert ids(await claim(driver, *sources, limit=3)) == ["a1", "a2", "b1"]

    @proves("PRI-03", "PRI-08", "PRI-10")
    async def test_higher_priorities_come_first(self, driver: Driver) -> None:
        given = [0, 1, 10, 0, 1, 10, 5]
        await driver.enqueue([record(f"{n}", priority=p) for n, p in enumerate(given)])
        assert ids(await claim(driver)) == ["2", "5", "6", "1", "4", "0", "3"]

    @proves("PRI-08")
    async def test_many_priorities_make_one_order(self, driver: Driver) -> None:
        jobs = [record(f"{n}", priority=n * 37 % 60 - 30) for n in range(60)]
        await driver.enqueue(jobs)
        got = [*await claim(driver, limit=25), *await claim(driver)]
        assert [job.priority for job in got] == list(range(29, -31, -1))

    @proves("PRI-03")
    @pytest.mark.parametrize("limit", [1, 2, 100])
    async def test_whoever_becomes_due_takes_the_place_of_its_priority(
        self, driver: Driver, clock: Clock, limit: int
    ) -> None:
        """However few are asked for."""
        delays = {"due low": (0, 5), "due mid": (5, 10), "due high": (10, 15)}
        await driver.enqueue(
            [record(id, priority=priority, delay=delay) for id, (priority, delay) in delays.items()]
        )
        clock.advance(20)
        ready = {"low": 0, "mid": 5, "high": 10}
        await driver.enqueue([record(id, priority=priority) for id, priority in ready.items()])
        got: list[str] = []
        while claims := await claim(driver, limit=limit):
            got += ids(claims)
        assert_fifo(driver, got, ["due high", "high", "due mid", "mid", "due low", "low"])

    @proves("PRI-01")
    async def test_equal_priorities_come_by_due_time_then_by_dispatch(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record("c", delay=20), record("b", delay=10)])
        clock.advance(10)
        await driver.enqueue([record("b2"), record("d", delay=15), record("c2", delay=10)])
        clock.advance(60)
        assert_fifo(driver, ids(await claim(driver)), ["b", "b2", "c", "c2", "d"])

    @proves("PRI-01")
    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_several_who_became_due_come_before_those_who_came_later(
        self, driver: Driver, clock: Clock, limit: int
    ) -> None:
        await driver.enqueue([record(f"due {n}", delay=10 + n) for n in range(4)])
        clock.advance(12)
        await driver.enqueue(records("ready 0", "ready 1"))
        clock.advance(5)
        got: list[str] = []
        while claims := await claim(driver, limit=limit):
            got += ids(claims)
        assert_fifo(driver, got, ["due 0", "due 1", "due 2", "ready 0", "ready 1", "due 3"])

    @needs("cancel", "delete")
    @pytest.mark.parametrize("verb", ["cancel", "delete"])
    @pytest.mark.parametrize("limit", [1, 2, 100])
    @proves("PRI-01")
    async def test_those_who_went_leave_the_others_in_their_order(
        self, driver: Driver, clock: Clock, verb: str, limit: int
    ) -> None:
        gone = [f"gone {n}" for n in range(20)]
        await driver.enqueue([*records(*gone, "a"), record("c", delay=15)])
        clock.advance(10)
        await driver.enqueue([*records("b", "b2"), record("d", delay=10)])
        clock.advance(30)
        await driver.enqueue(records("e"))
        which = Filter(ids=(*gone, "b2"))
        await (driver.cancel(which, 3600) if verb == "cancel" else driver.delete(which))
        for _ in range(2):
            assert (await driver.counts())["q"].pending == 5
        got: list[str] = []
        while claims := await claim(driver, limit=limit):
            got += ids(claims)
        assert_fifo(driver, got, ["a", "b", "c", "d", "e"])
        await driver.enqueue(records("f", "g"))
        assert (await driver.counts())["q"].pending == 2

    @needs("delete")
    @proves("PRI-01")
    async def test_most_of_those_who_wait_may_go(self, driver: Driver, clock: Clock) -> None:
        delays = {f"{n}": n * 37 % 101 for n in range(1, 101)}
        await driver.enqueue([record(id, delay=delay) for id, delay in delays.items()])
        left = [id for id in delays if int(id) % 4 == 0]
        await driver.delete(Filter(ids=tuple(delays.keys() - left)))
        clock.advance(101)
        assert_fifo(driver, ids(await claim(driver)), sorted(left, key=delays.__getitem__))

    @proves("PRI-12")
    async def test_a_job_that_is_not_due_is_not_first(self, driver: Driver) -> None:
        await driver.enqueue([record("high", priority=10, delay=3600), record("low", priority=0)])
        assert ids(await claim(driver)) == ["low"]

    @proves("PRI-04")
    async def test_a_lane_gives_its_own_priorities_only(self, driver: Driver) -> None:
        jobs = [record(f"{p}", priority=p) for p in (-5, 0, 1, 2, 10, 11)]
        await driver.enqueue(jobs)
        assert ids(await claim(driver, lane("q", low=2))) == ["11", "10", "2"]
        assert ids(await claim(driver, lane("q", high=0), limit=1)) == ["0"]
        assert ids(await claim(driver, lane("q", low=1, high=1))) == ["1"]
        assert ids(await claim(driver)) == ["-5"]

    @proves("PRI-09")
    async def test_lanes_may_overlap(self, driver: Driver) -> None:
        await driver.enqueue([record("low", priority=0), record("high", priority=10)])
        got = await claim(driver, lane("q", high=0), Q, Q)
        assert ids(got) == ["low", "high"]

    @proves("PRI-09")
    async def test_who_is_in_two_lanes_counts_once(self, driver: Driver) -> None:
        await driver.enqueue([record("both", priority=6), record("low", priority=1)])
        got = await claim(driver, lane("q", low=5, high=9), lane("q", low=0, high=7), limit=2)
        assert ids(got) == ["both", "low"]

    async def test_it_may_tell_the_time_of_the_store(self, driver: Driver, clock: Clock) -> None:
        """That by which jobs were created; who does not tell says nothing."""
        await driver.enqueue([record("a")])
        clock.advance(20)
        claimed = await driver.claim([Q], 1, LEASE, "w1")
        (only,) = claimed.claims
        if claimed.now is not None:
            assert abs(claimed.now - only.created_at - 20) < 0.01

    async def test_it_tells_when_the_next_job_is_due(self, driver: Driver, clock: Clock) -> None:
        jobs = [record("a"), record("b", delay=60), record("c", delay=40)]
        await driver.enqueue([*jobs, record("x", "elsewhere", delay=5)])
        assert (await driver.claim([Q], 5, LEASE, "w1")).due_in == pytest.approx(40, abs=0.01)
        clock.advance(30)
        assert (await driver.claim([Q], 5, LEASE, "w1")).due_in == pytest.approx(10, abs=0.01)
        clock.advance(10)
        claimed = await driver.claim([Q], 5, LEASE, "w1")
        assert ids(claimed.claims) == ["c"]
        assert claimed.due_in == pytest.approx(20, abs=0.01)

    async def test_it_tells_when_the_next_job_of_a_lane_is_due(self, driver: Driver) -> None:
        await driver.enqueue([record("a", priority=0, delay=5), record("b", delay=50)])
        due_in = (await driver.claim([lane("q", low=1)], 5, LEASE, "w1")).due_in
        assert due_in == pytest.approx(50, abs=0.01)
        assert (await driver.claim([lane("q", low=2)], 5, LEASE, "w1")).due_in is None

    async def test_of_all_lines_the_first_to_be_due_is_told(self, driver: Driver) -> None:
        """Whatever their priorities, and in whatever order the queues are asked."""
        waits = {"a": ("q", 5, 90), "b": ("q", 9, 60), "c": ("q", 1, 70), "d": ("r", 1, 80)}
        for id, (queue, priority, delay) in waits.items():
            await driver.enqueue([record(id, queue, priority=priority, delay=delay)])
        for sources in ([Q, Source("r")], [Source("r"), Q]):
            claimed = await driver.claim(sources, 5, LEASE, "w1")
            assert (claimed.claims, claimed.due_in) == ([], pytest.approx(60, abs=0.01))

    @proves("DSP-17")
    async def test_ten_thousand_jobs_come_in_order(self, driver: Driver) -> None:
        names = [f"{n}" for n in range(10_000)]
        for start in range(0, len(names), 1000):
            await driver.enqueue(records(*names[start : start + 1000]))
        got: list[Claim] = []
        while page := await claim(driver, limit=700):
            got += page
        assert_fifo(driver, ids(got), names)

    @proves("DRV-04", "DRV-15")
    async def test_concurrent_claims_never_share_a_job(self, driver: Driver, other: Driver) -> None:
        """Two handles, 20 claimers, 200 jobs."""
        names = [f"{n}" for n in range(200)]
        await driver.enqueue(records(*names))

        async def work(handle: Driver, worker: str) -> list[str]:
            got: list[str] = []
            while page := await claim(handle, limit=3, worker=worker):
                got += ids(page)
                await asyncio.sleep(0)
            return got

        works = (work((driver, other)[n % 2], f"w{n}") for n in range(20))
        got = [id for share in await asyncio.gather(*works) for id in share]
        assert sorted(got) == sorted(names)

    @proves("DRV-31")
    async def test_jobs_that_become_due_together_are_claimed_once(
        self, driver: Driver, other: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record(f"{n}", delay=60) for n in range(100)])
        clock.advance(60)
        claims = (claim(handle, limit=20) for handle in [driver, other] * 5)
        got = [id for share in await asyncio.gather(*claims) for id in ids(share)]
        assert sorted(got) == sorted(f"{n}" for n in range(100))

    @proves("DRV-10")
    async def test_a_cancelled_claim_leaves_no_job_reserved(self, driver: Driver) -> None:
        await driver.enqueue([record(f"{n}") for n in range(30)])
        got = await _claim_and_cancel(driver, 20)
        which = Filter(states=(State.PROCESSING,))
        waiting = Filter(states=(State.PENDING,))
        async with asyncio.timeout(REAL_SECONDS):
            while (  # noqa: ASYNC110 - nothing tells when a store has undone a claim
                sorted(ids((await driver.find(which)).items)) != sorted(got)
                or await driver.count(waiting) != 30 - len(got)
            ):
                await asyncio.sleep(0.01)

    @proves("DRV-10", "DRV-30")
    @needs("sweep")
    async def test_a_cancelled_claim_loses_no_job(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record(f"{n}") for n in range(30)])
        await _claim_and_cancel(driver, 20)
        clock.advance(LEASE)
        await driver.sweep()
        assert sorted(ids(await claim(driver))) == sorted(f"{n}" for n in range(30))


async def _claim_and_cancel(driver: Driver, times: int) -> list[str]:
    """Cancel claims at different moments; answers the jobs of those that came through."""
    got: list[str] = []
    for n in range(times):
        claiming = asyncio.create_task(claim(driver, limit=1))
        for _ in range(n % 7):
            await asyncio.sleep(0)
        if not claiming.done():
            claiming.cancel()
        (answer,) = await asyncio.gather(claiming, return_exceptions=True)
        if isinstance(answer, list):
            got += ids(answer)
        else:
            assert isinstance(answer, asyncio.CancelledError)
    return got
