"""The rules of claiming once more, for a worker that goes on behind its low-water mark."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.postgres import marks as module
from asyncqueue.drivers.postgres.marks import VALID_FOR, Mark, Marks
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Limited, Record, Source
from asyncqueue.testing.conformance.claims import ClaimRules
from asyncqueue.testing.conformance.fair import FairRules
from asyncqueue.testing.conformance.keys import KeyRules
from asyncqueue.testing.conformance.limits import LimitRules
from asyncqueue.testing.conformance.operating import PauseRules
from asyncqueue.testing.conformance.settling import SettleRules

from .acts import LEASE, claim, ended, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.base import Driver
    from asyncqueue.testing import Clock

    from ...servers.schemas import Schema

Q: Final = Source("q")
ROW: Final = ("a", 1, "q", "kind", b"", 1, 1, 0, None, 0.0, 5.0, 7)
"""Of a claim: a job of priority 1 that was due at 5.0, the seventh of all."""


class MarkedDriver(PostgresDriver):
    """One whose next claim from ``q`` starts behind a job that is gone, however few it asks for."""

    def __init__(self, dsn: str, *, schema: str, clock: Clock) -> None:
        super().__init__(dsn, schema=schema, clock=clock)
        self._marks = Marks(enough=1)

    async def open(self) -> None:
        await super().open()
        await self.enqueue([Record("marks", "q", "kind", b"", priority=1)])
        await self.settle([ended(one, retention=0.0) for one in await claim(self, 1)])
        mark = self._marks.of([Q])
        assert mark is not None
        assert mark.quiet


class TestBehindAMark(ClaimRules):
    # They ask for many jobs, or make many claims, and are behind a mark anyway.
    test_ten_thousand_jobs_come_in_order = None
    test_concurrent_claims_never_share_a_job = None
    test_a_cancelled_claim_leaves_no_job_reserved = None
    test_a_cancelled_claim_loses_no_job = None

    test_a_paused_queue_gives_no_jobs = PauseRules.test_a_paused_queue_gives_no_jobs
    test_a_key_until_claimed = KeyRules.test_a_key_until_claimed_is_free_once_the_job_runs
    test_those_without_a_key_have_a_turn = FairRules.test_those_without_a_key_have_a_turn
    test_what_is_due_comes_before = LimitRules.test_what_is_due_comes_before_what_was_due_later
    test_those_behind_are_claimed = LimitRules.test_those_behind_are_claimed_instead
    test_no_token_is_left = SettleRules.test_a_removed_job_leaves_no_token_to_its_successor

    @pytest.fixture(autouse=True)
    def place(self, postgres_schema: Schema) -> None:
        self.place = postgres_schema

    def make_driver(self, clock: Clock) -> PostgresDriver:
        return MarkedDriver(self.place.dsn, schema=self.place.name, clock=clock)

    def second_handle(self, driver: Driver) -> PostgresDriver:
        return PostgresDriver(self.place.dsn, schema=self.place.name, clock=driver.clock)


@pytest.fixture
async def marked(postgres_schema: Schema, clock: Clock) -> AsyncGenerator[MarkedDriver]:
    driver = MarkedDriver(postgres_schema.dsn, schema=postgres_schema.name, clock=clock)
    await driver.open()
    yield driver
    await driver.close()


async def claimed(driver: Driver, limit: int, low: int = MIN_PRIORITY, high: int = MAX_PRIORITY):
    found = await driver.claim([Source("q", low, high)], limit, LEASE, "w")
    return [one.id for one in found.claims]


async def test_what_is_due_goes_before_what_was_stored_later(
    marked: MarkedDriver, clock: Clock
) -> None:
    await marked.enqueue([record("due", delay=5), record("urgent", delay=5, priority=9)])
    clock.advance(10)
    await marked.enqueue([record("late")])
    assert await claimed(marked, 1) == ["urgent"]
    assert await claimed(marked, 1) == ["due"]


async def test_who_gets_a_permit_by_now_goes_before_what_was_stored_later(
    marked: MarkedDriver, clock: Clock
) -> None:
    calls = (Limited("calls", 1, per=60.0),)
    await marked.enqueue([record("first", limits=calls), record("second", limits=calls)])
    assert await claimed(marked, 10) == ["first"]
    clock.advance(1)
    await marked.enqueue([record("a"), record("b")])
    assert await claimed(marked, 1) == ["a"]
    clock.advance(60)
    assert await claimed(marked, 1) == ["second"]


async def test_a_lane_ends_where_it_ends(marked: MarkedDriver) -> None:
    await marked.enqueue([record(f"{n}", priority=n % 3) for n in range(9)])
    assert await claimed(marked, 1, low=1, high=1) == ["1"]
    assert await claimed(marked, 9, low=1, high=1) == ["4", "7"]
    assert await claimed(marked, 1, low=0, high=1) == ["0"]
    assert await claimed(marked, 9, low=0, high=1) == ["3", "6"]
    assert await claimed(marked, 9) == ["2", "5", "8"]


async def test_equal_times_go_by_dispatch(marked: MarkedDriver, clock: Clock) -> None:
    """Whoever waited for its time was stored early, and comes late."""
    await marked.enqueue([record("due", delay=20)])
    await marked.enqueue([record(f"{n}") for n in range(4)])
    assert await claimed(marked, 2) == ["0", "1"]
    clock.advance(10)
    await marked.enqueue([record("4")])
    assert await claimed(marked, 2) == ["2", "3"]
    clock.advance(10)
    await marked.enqueue([record("5")])
    assert await claimed(marked, 2) == ["4", "due"]
    assert await claimed(marked, 2) == ["5"]


def test_a_mark_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may have put jobs back before it, and tell nobody of that."""
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    marks = Marks(enough=1)
    marks.advance([Q], [ROW], 1, quiet=True)
    now[0] += VALID_FOR * 0.9
    assert marks.of([Q]) == Mark(1, 5.0, 7, quiet=True)
    marks.advance([Q], [ROW], 1, quiet=False)
    assert marks.of([Q]) == Mark(1, 5.0, 7, quiet=False)
    now[0] += VALID_FOR * 0.1
    assert marks.of([Q]) is None, "a worker that is busy for ever would never look back"


def test_who_got_less_than_it_asked_for_has_seen_all() -> None:
    marks = Marks(enough=1)
    marks.advance([Q], [ROW], 2, quiet=True)
    assert marks.of([Q]) is None
