"""Rules of operating: cancelling, deleting, pausing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import FINISHED, WAITING, Extension, Filter, Hold, Source, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Q,
    Rules,
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

A = Filter(ids=("a",))


class CancelRules(Rules):
    """What waits ends at once; what runs is asked to."""

    @proves("MON-16")
    @needs("cancel")
    async def test_a_waiting_job_is_cancelled_at_once(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("a"), record("b", delay=60), record("c")])
        answer = await driver.cancel(Filter(ids=("a", "b")), 600)
        assert answer == {"a": State.PENDING, "b": State.DELAYED}
        stored = await look(driver, "a")
        assert stored is not None
        assert stored.state == State.CANCELLED
        assert stored.finished_at == instant(clock.time())
        clock.advance(60)
        assert ids(await claim(driver)) == ["c"]
        clock.advance(540)
        assert await driver.count(Filter(states=(State.CANCELLED,))) == 0

    @proves("MON-16")
    @needs("cancel")
    async def test_a_cancelled_job_need_not_be_kept(self, driver: Driver) -> None:
        await driver.enqueue(records("a"))
        assert await driver.cancel(A, 0) == {"a": State.PENDING}
        assert await look(driver, "a") is None

    @proves("MON-16")
    @needs("cancel", "called_off")
    async def test_a_running_job_is_asked_to_end(self, driver: Driver) -> None:
        await driver.enqueue(records("a", "b"))
        got, _ = await claim(driver, worker="w1")
        assert await driver.called_off("w1") == []
        assert await driver.cancel(A, 600) == {"a": State.PROCESSING}
        assert await state_of(driver, "a") == State.PROCESSING
        assert await driver.called_off("w1") == ["a"]
        assert await driver.called_off("w2") == []
        assert await driver.cancel(A, 600) == {"a": State.PROCESSING}
        await end(driver, got, State.CANCELLED)
        assert await driver.called_off("w1") == []
        assert await state_of(driver, "a") == State.CANCELLED

    @proves("MON-16")
    @needs("cancel", "extend", "sweep")
    @pytest.mark.parametrize("retention", [0, 600])
    async def test_an_extension_tells_of_the_request_and_holds(
        self, driver: Driver, clock: Clock, retention: float
    ) -> None:
        got = await enqueue_and_claim(driver)
        await driver.cancel(A, retention)
        clock.advance(LEASE - 1)
        assert await driver.extend([Extension("a", got.token)], LEASE) == [Hold.CANCELLED]
        clock.advance(LEASE - 1)
        assert await driver.sweep() == 0
        assert await state_of(driver, "a") == State.PROCESSING

    @proves("MON-16")
    @needs("cancel")
    @pytest.mark.parametrize("state", WAITING)
    @pytest.mark.parametrize("attempt", [None, b"an attempt"])
    async def test_a_called_off_job_does_not_wait_again(
        self, driver: Driver, clock: Clock, state: State, attempt: bytes | None
    ) -> None:
        """It is kept for as long as was asked for then."""
        got = await enqueue_and_claim(driver)
        await driver.cancel(A, 600)
        assert await driver.settle([settlement(got, state, delay=5, attempt=attempt)]) == [True]
        assert await state_of(driver, "a") == State.CANCELLED
        assert await driver.called_off("w1") == []
        clock.advance(599)
        assert await claim(driver) == []
        assert await state_of(driver, "a") == State.CANCELLED
        clock.advance(1)
        assert await look(driver, "a") is None

    @proves("MON-16")
    @needs("cancel")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED])
    async def test_a_called_off_job_may_end_otherwise(self, driver: Driver, state: State) -> None:
        """The request came too late."""
        got = await enqueue_and_claim(driver)
        await driver.cancel(A, 600)
        await end(driver, got, state)
        assert await state_of(driver, "a") == state
        assert await driver.called_off("w1") == []

    @proves("MON-16")
    @needs("cancel", "requeue")
    async def test_a_request_does_not_outlive_the_run(self, driver: Driver) -> None:
        got = await enqueue_and_claim(driver)
        await driver.cancel(A, 600)
        await end(driver, got, State.FAILED)
        await driver.requeue(A)
        again = await claim_one(driver)
        assert await driver.called_off("w1") == []
        await end(driver, again, State.PENDING)
        assert await state_of(driver, "a") == State.PENDING

    @proves("MON-16")
    @needs("cancel")
    @pytest.mark.parametrize("state", FINISHED)
    async def test_a_finished_job_stays_as_it_is(self, driver: Driver, state: State) -> None:
        await run_to(driver, "a", state)
        before = await look(driver, "a")
        assert await driver.cancel(A, 0) == {"a": state}
        assert await look(driver, "a") == before

    @proves("MON-08")
    @needs("cancel")
    async def test_an_unknown_job_cannot_be_cancelled(self, driver: Driver) -> None:
        await driver.enqueue(records("b"))
        assert await driver.cancel(A, 600) == {}
        assert ids(await claim(driver)) == ["b"]

    @proves("MON-16")
    @needs("cancel")
    async def test_exactly_the_meant_jobs_are_cancelled(self, driver: Driver) -> None:
        await driver.enqueue([*records("a", "b"), *records("x", queue="elsewhere")])
        running = await claim_one(driver)
        answer = await driver.cancel(Filter(source=Q, states=(State.PENDING,)), 600)
        assert answer == {({"a", "b"} - {running.id}).pop(): State.PENDING}
        assert await driver.called_off("w1") == []
        await end(driver, running, State.COMPLETED)
        assert ids(await claim(driver, Q, Source("elsewhere"))) == ["x"]


class DeleteRules(Rules):
    """Everything but what runs can be removed."""

    @proves("MON-02")
    @needs("delete", "cancel")
    async def test_who_is_named_twice_goes_once(self, driver: Driver) -> None:
        await driver.enqueue(records("a", "b"))
        assert await driver.cancel(Filter(ids=("b", "b")), 60) == {"b": State.PENDING}
        assert await driver.delete(Filter(ids=("a", "b", "a", "b"))) == 2
        assert await driver.count(Filter()) == 0

    @proves("MON-02")
    @needs("delete")
    async def test_a_running_job_is_never_deleted(self, driver: Driver) -> None:
        await driver.enqueue([*records("run", "wait"), record("later", delay=60)])
        running = await claim_one(driver)
        assert await driver.delete(Filter()) == 2
        assert ids((await driver.find(Filter())).items) == ["run"]
        await end(driver, running, State.COMPLETED)
        assert await driver.delete(Filter()) == 1
        assert await driver.count(Filter()) == 0

    @proves("MON-02", "MON-03")
    @needs("delete")
    async def test_a_queue_is_cleared_and_nothing_else(self, driver: Driver, clock: Clock) -> None:
        """Failed records stay, even of a queue that is named ``failed``."""
        await run_to(driver, "broken", State.FAILED, "failed")
        await run_to(driver, "done", State.COMPLETED, "failed")
        await driver.enqueue([*records("a", queue="failed"), record("b", "failed", delay=5)])
        await driver.enqueue(records("x"))
        assert await driver.delete(Filter(source=Source("failed"), states=WAITING)) == 2
        clock.advance(5)
        assert ids(await claim(driver, Source("failed"), Q)) == ["x"]
        assert await state_of(driver, "broken") == State.FAILED
        assert await state_of(driver, "done") == State.COMPLETED

    @proves("FLD-19")
    @needs("delete")
    @pytest.mark.parametrize("state", FINISHED)
    async def test_a_finished_job_can_be_deleted(self, driver: Driver, state: State) -> None:
        await run_to(driver, "a", state)
        await run_to(driver, "b", state)
        assert await driver.delete(Filter(ids=("a", "unknown"))) == 1
        assert ids((await driver.find(Filter())).items) == ["b"]
        assert await driver.enqueue(records("a")) == [None]
        assert (await claim_one(driver)).attempts == 1

    @needs("delete")
    async def test_however_many_are_deleted_together(self, driver: Driver) -> None:
        """Also where a driver deletes them in pieces."""
        await driver.enqueue([record(f"{n}", payload=b"") for n in range(5001)])
        assert await driver.delete(Filter()) == 5001
        assert await driver.count(Filter()) == 0

    @needs("delete")
    async def test_nothing_meant_deletes_nothing(self, driver: Driver) -> None:
        await driver.enqueue(records("a"))
        assert await driver.delete(Filter(source=Source("unknown"))) == 0
        assert await driver.delete(Filter(ids=())) == 0
        assert await driver.count(Filter()) == 1


class PauseRules(Rules):
    """A paused queue starts nothing new."""

    @needs("pause")
    async def test_a_queue_named_twice_is_paused_once(self, driver: Driver) -> None:
        assert await driver.pause(["q", "q"], on=True) == ["q"]
        assert await driver.pause(["q", "other"], on=True) == ["other"]
        assert await driver.pause(["q", "other", "q"], on=False) == ["q", "other"]

    @needs("pause")
    async def test_nobody_is_told_when_a_job_of_a_paused_queue_is_due(
        self, driver: Driver, clock: Clock
    ) -> None:
        """Else workers would ask again and again once it is."""
        await driver.enqueue([record("a", delay=5), record("b", priority=7)])
        await driver.pause(["q"], on=True)
        for _ in range(2):
            claimed = await driver.claim([Q], 10, LEASE, "w1")
            assert (claimed.claims, claimed.due_in) == ([], None)
            clock.advance(10)

    @needs("pause")
    async def test_a_paused_queue_gives_no_jobs(self, driver: Driver) -> None:
        """Contract, ``queue.pause``: only new starts stop."""
        await driver.enqueue([record("a"), record("x", "elsewhere")])
        assert await driver.pause(["q"], on=True) == ["q"]
        assert await driver.enqueue(records("b")) == [None]
        assert ids(await claim(driver, Q, Source("elsewhere"))) == ["x"]
        assert await driver.pause(["q"], on=False) == ["q"]
        assert ids(await claim(driver)) == ["a", "b"]

    @needs("pause", "extend")
    async def test_a_pause_leaves_alone_what_runs(self, driver: Driver) -> None:
        """Contract, ``queue.pause``."""
        got = await enqueue_and_claim(driver)
        await driver.pause(["q"], on=True)
        assert await driver.extend([Extension("a", got.token)], LEASE) == [Hold.HELD]
        await end(driver, got, State.COMPLETED)

    @needs("pause")
    async def test_a_pause_answers_what_changed(self, driver: Driver) -> None:
        """Contract, ``queue.pause``."""
        assert sorted(await driver.pause(["b", "a"], on=True)) == ["a", "b"]
        assert await driver.pause(["a", "c 🐢"], on=True) == ["c 🐢"]
        assert await driver.paused() == ["a", "b", "c 🐢"]
        assert await driver.pause(["a", "unknown"], on=False) == ["a"]
        assert await driver.pause([], on=False) == []
        assert await driver.paused() == ["b", "c 🐢"]

    @needs("pause")
    async def test_a_paused_queue_is_counted(self, driver: Driver) -> None:
        await driver.enqueue(records("a"))
        await driver.pause(["q", "empty"], on=True)
        counts = await driver.counts()
        assert (counts["q"].pending, counts["empty"].pending) == (1, 0)

    @needs("pause")
    async def test_a_pause_holds_for_every_handle(self, driver: Driver, other: Driver) -> None:
        """Contract, ``queue.pause``."""
        await driver.enqueue(records("a"))
        await driver.pause(["q"], on=True)
        assert await other.paused() == ["q"]
        assert await claim(other) == []
        await other.pause(["q"], on=False)
        assert ids(await claim(driver)) == ["a"]
