"""Rules of looking: pages of jobs, and numbers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError
from asyncqueue.record import FINISHED, WAITING, Filter, QueueCounts, Source, State
from asyncqueue.testing.conformance.rules import (
    Q,
    Rules,
    claim,
    claim_one,
    end,
    ids,
    instant,
    lane,
    look,
    proves,
    record,
    records,
    run_to,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver, Order
    from asyncqueue.testing.clock import Clock


async def walk(driver: Driver, which: Filter, limit: int, order: Order = "created") -> list[str]:
    """All ids, page by page."""
    got: list[str] = []
    cursor = None
    for _ in range(100):
        page = await driver.find(which, limit=limit, cursor=cursor, order=order)
        got += ids(page.items)
        if (cursor := page.next) is None:
            return got
    raise AssertionError(f"No end of pages: {got}")


class FindRules(Rules):
    """Which jobs are shown, and in what order."""

    async def test_an_empty_store_shows_nothing(self, driver: Driver) -> None:
        found = await driver.find(Filter())
        assert (found.items, found.next) == ([], None)

    async def test_the_newest_job_comes_first(self, driver: Driver, clock: Clock) -> None:
        """By order of dispatch, whatever became of them."""
        await driver.enqueue([record("a"), record("b", delay=60), record("c", priority=9)])
        await end(driver, await claim_one(driver), State.FAILED)
        clock.advance(1)
        await driver.enqueue([record("d", "elsewhere")])
        await end(driver, await claim_one(driver), State.COMPLETED)
        assert ids((await driver.find(Filter())).items) == ["d", "c", "b", "a"]

    @proves("FLD-11")
    async def test_the_last_to_finish_comes_first_if_asked(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(records("a", "b", "c", "d"))
        a, b, c, d = await claim(driver)
        ends = [(c, State.FAILED), (a, State.COMPLETED), (d, State.CANCELLED), (b, State.FAILED)]
        for got, state in ends:
            clock.advance(1)
            await end(driver, got, state)
        everything = Filter(states=FINISHED)
        assert ids((await driver.find(everything, order="finished")).items) == ["b", "d", "a", "c"]
        assert await walk(driver, everything, 1, "finished") == ["b", "d", "a", "c"]
        failed = Filter(states=(State.FAILED,))
        assert ids((await driver.find(failed, order="finished")).items) == ["b", "c"]

    @pytest.mark.parametrize("limit", [1, 3, 4, 50])
    async def test_a_cursor_leads_through_all_pages(self, driver: Driver, limit: int) -> None:
        """No job twice, none left out."""
        names = [f"{n}" for n in range(12)]
        await driver.enqueue(records(*names))
        assert await walk(driver, Filter(), limit) == names[::-1]
        assert await walk(driver, Filter(source=Q), limit) == names[::-1]

    async def test_a_cursor_leads_through_those_who_finished_together(self, driver: Driver) -> None:
        names = [f"{n}" for n in range(7)]
        await driver.enqueue(records(*names))
        for got in await claim(driver):
            await end(driver, got, State.FAILED)
        got = await walk(driver, Filter(states=(State.FAILED,)), 2, "finished")
        assert sorted(got) == sorted(names)

    async def test_pages_stay_put_while_jobs_are_added(self, driver: Driver) -> None:
        await driver.enqueue(records("a", "b", "c", "d"))
        first = await driver.find(Filter(), limit=2)
        await driver.enqueue(records("e", "f"))
        second = await driver.find(Filter(), limit=2, cursor=first.next)
        assert ids(first.items) + ids(second.items) == ["d", "c", "b", "a"]
        assert second.next is None

    @proves("FLD-11")
    async def test_limit_and_offset_cut_out_a_page(self, driver: Driver) -> None:
        await driver.enqueue(records("a", "b", "c", "d", "e"))
        assert ids((await driver.find(Filter(), limit=2, offset=1)).items) == ["d", "c"]
        assert ids((await driver.find(Filter(), limit=10, offset=4)).items) == ["a"]
        assert (await driver.find(Filter(), limit=10, offset=5)).items == []
        assert (await driver.find(Filter(), limit=0)).items == []

    async def test_a_cursor_of_nobody_is_refused(self, driver: Driver) -> None:
        """The cursor comes from users."""
        await driver.enqueue(records("a"))
        with pytest.raises((ValueError, DriverError)):
            await driver.find(Filter(), cursor="no cursor of yours")

    @proves("DRV-06")
    async def test_a_filter_means_jobs_for_which_all_of_it_holds(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue(
            [
                record("a", name="One", priority=0),
                record("b", name="Two", priority=10),
                record("c", "other", name="One"),
                record("d", name="One", delay=60),
                record("e", "other", name="Two"),
            ]
        )
        await end(driver, await claim_one(driver, Source("other")), State.FAILED)
        clock.advance(5)
        await end(driver, await claim_one(driver, Source("other")), State.COMPLETED)
        cases = [
            (Filter(ids=("b", "e", "b", "unknown")), "eb"),
            (Filter(ids=()), ""),
            (Filter(source=Q), "dba"),
            (Filter(source=Source("unknown")), ""),
            (Filter(source=lane("q", low=1)), "db"),
            (Filter(source=lane("q", high=0)), "a"),
            (Filter(states=(State.PENDING,)), "ba"),
            (Filter(states=(State.DELAYED,)), "d"),
            (Filter(states=WAITING), "dba"),
            (Filter(states=()), ""),
            (Filter(states=(State.FAILED, State.COMPLETED)), "ec"),
            (Filter(name="One"), "dca"),
            (Filter(name="One", source=Q, states=(State.PENDING,)), "a"),
            (Filter(ids=("a", "b"), name="Two"), "b"),
            (Filter(finished_before=5), "c"),
            (Filter(finished_before=0), "ec"),
            (Filter(finished_before=6), ""),
            (Filter(), "edcba"),
        ]
        for which, expected in cases:
            assert "".join(ids((await driver.find(which)).items)) == expected, which
            assert await driver.count(which) == len(expected), which

    @proves("MON-06")
    async def test_a_status_tells_the_life_of_a_job(self, driver: Driver, clock: Clock) -> None:
        """Created, started and finished fill in, in that order."""
        await driver.enqueue(records("a"))
        seen = [await look(driver, "a")]
        clock.advance(1)
        got = await claim_one(driver)
        seen.append(await look(driver, "a"))
        clock.advance(1)
        await end(driver, got, State.COMPLETED)
        seen.append(await look(driver, "a"))
        told = [(job.state, job.started_at, job.finished_at) for job in seen if job]
        now = clock.time()
        assert [state for state, _, _ in told] == [
            State.PENDING,
            State.PROCESSING,
            State.COMPLETED,
        ]
        assert [started for _, started, _ in told] == [None, *[instant(now - 1)] * 2]
        assert [finished for _, _, finished in told] == [None, None, instant(now)]


class CountRules(Rules):
    """Numbers."""

    @proves("MON-01", "MON-18", "PRI-09")
    async def test_the_size_counts_what_waits(self, driver: Driver) -> None:
        """Delayed and all lanes included, running excluded."""
        await driver.enqueue([record("a"), record("b", priority=9), record("c", delay=60)])
        await claim_one(driver)
        assert await driver.count(Filter(source=Q, states=WAITING)) == 2
        assert await driver.count(Filter(source=lane("q", low=2), states=WAITING)) == 0
        assert await driver.count(Filter(source=Source("unknown"), states=WAITING)) == 0

    @proves("MON-09", "MON-19", "DRV-06")
    async def test_counts_tell_each_state_of_each_queue(self, driver: Driver, clock: Clock) -> None:
        for n in range(7):
            await run_to(driver, f"done {n}", State.COMPLETED, "emails")
        await run_to(driver, "failed", State.FAILED, "emails")
        await run_to(driver, "off", State.CANCELLED, "emails")
        await driver.enqueue([record(f"{n}", "emails") for n in range(7)])
        await driver.enqueue([record(f"later {n}", "emails", delay=60 + n) for n in range(3)])
        await claim(driver, Source("emails"), limit=2)
        await driver.enqueue([record("x", "other")])
        clock.advance(4)
        counts = await driver.counts()
        emails = counts["emails"]
        assert emails.oldest_seconds == pytest.approx(4, abs=0.01)
        emails.oldest_seconds = 0
        assert emails == QueueCounts(5, 3, 2, 7, 1, 1)
        assert counts["other"].pending == 1
        assert set(counts) == {"emails", "other"}

    @proves("MON-19")
    async def test_delayed_jobs_are_counted_as_pending_once_they_are_due(
        self, driver: Driver, clock: Clock
    ) -> None:
        """By themselves; their age counts from then."""
        await driver.enqueue([record("a", delay=10), record("b", delay=20)])
        counts = (await driver.counts())["q"]
        assert (counts.pending, counts.delayed, counts.oldest_seconds) == (0, 2, 0)
        clock.advance(15)
        counts = (await driver.counts())["q"]
        assert (counts.pending, counts.delayed) == (1, 1)
        assert counts.oldest_seconds == pytest.approx(5, abs=0.01)

    @proves("MON-04")
    async def test_numbers_stay_plausible_while_work_goes_on(
        self, driver: Driver, other: Driver
    ) -> None:
        await driver.enqueue([record(f"{n}") for n in range(60)])

        async def work() -> None:
            while got := await claim(driver, limit=2):
                for job in got:
                    await asyncio.sleep(0)
                    await end(driver, job, State.COMPLETED)

        async def watch() -> list[int]:
            sizes = list[int]()
            while not worked.done():
                sizes.append(await other.count(Filter(source=Q, states=WAITING)))
                counts = (await other.counts())["q"]
                assert counts.pending + counts.processing + counts.completed == 60
                await asyncio.sleep(0)
            return sizes

        worked = asyncio.gather(work(), work())
        sizes, _ = await asyncio.gather(watch(), worked)
        assert all(0 <= size <= 60 for size in sizes)
        assert sizes == sorted(sizes, reverse=True)
        assert (await driver.counts())["q"].completed == 60
