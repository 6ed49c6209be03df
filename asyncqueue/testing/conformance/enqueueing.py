"""Rules of enqueueing: everything arrives as it was given, once, and all of it or nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from msgspec.structs import replace

from asyncqueue.errors import DriverError
from asyncqueue.record import (
    FINISHED,
    MAX_PRIORITY,
    MIN_PRIORITY,
    Extension,
    Filter,
    Latch,
    Limited,
    Source,
    State,
)
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Q,
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

PAYLOADS: Final = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "only NUL": b"\0" * 3,
    "not UTF-8": b"\xff\xfe\xc3\x28",
    "UTF-8": "zażółć 🐝".encode(),
    "1 MiB": bytes(range(256)) * 4096,
}
UUID: Final = "01a207bf-4438-7000-82ef-4e5be6bb0fbd"
QUEUES: Final = {
    "spaces": "two  words ",
    "quotes": 'it\'s "quoted" `here`; --',
    "emoji": "żółw 🐢",
    "wildcards": "50%_off*?[a]",
    "braces": "{tag}:{other}",
    "colons": "a:b::c",
    "slashes": "a/b\\c",
    "failed": "failed",
    "long": "n" * 200,
}


class EnqueueRules(Rules):
    """What producers may rely on."""

    @proves("DSP-15", "DRV-08")
    async def test_a_job_arrives_as_it_was_given(self, driver: Driver, clock: Clock) -> None:
        job = record("a", name="SendWelcome", payload=b"data", priority=7, max_attempts=5)
        assert await driver.enqueue([job]) == [None]
        stored = await look(driver, "a")
        assert stored is not None
        assert (stored.queue, stored.name, stored.payload) == ("q", "SendWelcome", b"data")
        assert (stored.state, stored.priority, stored.attempts) == (State.PENDING, 7, 0)
        assert stored.max_attempts == 5
        assert stored.created_at == instant(clock.time())
        assert stored.available_at == instant(clock.time())
        assert (stored.started_at, stored.finished_at) == (None, None)

    @proves("DRV-08")
    async def test_a_claim_carries_what_the_record_carried(
        self, driver: Driver, clock: Clock
    ) -> None:
        await driver.enqueue([record("a", name="Kind", payload=b"data", priority=-3)])
        dispatched = clock.time()
        clock.advance(5)
        got = await claim_one(driver)
        assert (got.id, got.queue, got.name, got.payload) == ("a", "q", "Kind", b"data")
        assert (got.priority, got.max_attempts, got.exceptions) == (-3, None, 0)
        assert got.created_at == instant(dispatched)

    async def test_no_records_need_nothing(self, driver: Driver) -> None:
        assert await driver.enqueue([]) == []

    @proves("DRV-08")
    @pytest.mark.parametrize("what", PAYLOADS)
    async def test_a_payload_comes_back_byte_for_byte(self, driver: Driver, what: str) -> None:
        await driver.enqueue([record("a", payload=PAYLOADS[what])])
        assert (await claim_one(driver)).payload == PAYLOADS[what]
        stored = await look(driver, "a")
        assert stored is not None
        assert stored.payload == PAYLOADS[what]

    @proves("DSP-02")
    @pytest.mark.parametrize("what", QUEUES)
    async def test_a_queue_may_have_any_name(self, driver: Driver, what: str) -> None:
        name = QUEUES[what]
        await driver.enqueue([record("a", name), record("b", name + "x"), record("c")])
        assert await driver.count(Filter(source=Source(name))) == 1
        assert (await driver.counts())[name].pending == 1
        got = await claim(driver, Source(name))
        assert [(job.id, job.queue) for job in got] == [("a", name)]
        await end(driver, got[0], State.FAILED)
        assert ids((await driver.find(Filter(source=Source(name)))).items) == ["a"]

    @proves("DRV-08")
    async def test_ids_kinds_and_keys_may_be_any_text(self, driver: Driver) -> None:
        odd = 'ID of "ąę" 🐝; {x}:%_*'
        assert await driver.enqueue([record(odd, name=odd, key=odd)]) == [None]
        assert await driver.enqueue([record("b", key=odd)]) == [odd]
        assert ids((await driver.find(Filter(ids=(odd,), name=odd))).items) == [odd]
        assert (await claim_one(driver)).name == odd

    @proves("PRI-10")
    async def test_priorities_reach_from_end_to_end(self, driver: Driver) -> None:
        given = [0, MIN_PRIORITY, MAX_PRIORITY, 1, -1]
        await driver.enqueue([record(f"{p}", priority=p) for p in given])
        assert [job.priority for job in await claim(driver)] == sorted(given, reverse=True)

    @proves("DSP-01", "DSP-02")
    async def test_a_job_is_on_its_queue_only(self, driver: Driver) -> None:
        await driver.enqueue([record("a", "emails"), record("b", "default")])
        assert ids(await claim(driver, Source("emails"))) == ["a"]
        assert ids(await claim(driver, Source("default"))) == ["b"]

    @proves("DSP-17", "DSP-21")
    async def test_a_list_keeps_its_order(self, driver: Driver) -> None:
        await driver.enqueue(records("c", "a", "b"))
        await driver.enqueue(records("e", "d"))
        assert ids(await claim(driver)) == ["c", "a", "b", "e", "d"]

    @proves("DSP-03", "DSP-19", "DRV-02")
    async def test_a_delayed_job_is_due_by_itself(self, driver: Driver, clock: Clock) -> None:
        await driver.enqueue([record("a", delay=300)])
        clock.advance(299)
        assert await claim(driver) == []
        assert await state_of(driver, "a") == State.DELAYED
        clock.advance(1)
        assert await state_of(driver, "a") == State.PENDING
        assert ids(await claim(driver)) == ["a"]

    @proves("DRV-02", "DSP-05")
    async def test_delayed_jobs_come_in_order_of_their_time(
        self, driver: Driver, clock: Clock
    ) -> None:
        delays = {"c": 0.5, "now": 0, "a": 0.125, "b": 0.25}
        await driver.enqueue([record(id, delay=delay) for id, delay in delays.items()])
        clock.advance(1)
        assert_fifo(driver, ids(await claim(driver)), ["now", "a", "b", "c"])

    @proves("DSP-10")
    @pytest.mark.parametrize("delay", [0, -1, -1e9])
    async def test_no_or_a_negative_delay_means_at_once(
        self, driver: Driver, clock: Clock, delay: float
    ) -> None:
        """It does not overtake those who were there before."""
        await driver.enqueue([record("a")])
        await driver.enqueue([record("b", delay=delay)])
        stored = await look(driver, "b")
        assert stored is not None
        assert stored.available_at == instant(clock.time())
        assert ids(await claim(driver)) == ["a", "b"]

    @proves("DRV-14")
    async def test_a_known_id_is_not_stored_again(self, driver: Driver) -> None:
        """Waiting, then being processed."""
        await driver.enqueue([record("a", payload=b"first")])
        assert await driver.enqueue([record("a", payload=b"second")]) == ["a"]
        got = await claim_one(driver)
        assert await driver.enqueue([record("a", "elsewhere", payload=b"third")]) == ["a"]
        assert got.payload == b"first"
        assert await claim(driver, Q, Source("elsewhere")) == []

    @proves("DRV-14")
    @pytest.mark.parametrize("state", FINISHED)
    @pytest.mark.parametrize("id", ["a", UUID], ids=["short", "UUID"])
    async def test_the_id_of_a_finished_job_is_known(
        self, driver: Driver, state: State, id: str
    ) -> None:
        """Drivers may have a shorter way for ids that look new."""
        await run_to(driver, id, state)
        assert await driver.enqueue([record(id)]) == [id]
        assert await driver.enqueue([record(id, key="k"), record("b", key="k")]) == [id, None]
        assert await state_of(driver, id) == state

    @proves("DRV-14")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
    async def test_an_id_is_free_again_after_the_retention(
        self, driver: Driver, clock: Clock, state: State
    ) -> None:
        got = await enqueue_and_claim(driver)
        await end(driver, got, state, retention=60)
        clock.advance(60)
        assert await driver.enqueue([record("a")]) == [None]
        assert await state_of(driver, "a") == State.PENDING
        again = await claim_one(driver)
        assert (again.id, again.attempts) == ("a", 1)

    @proves("DRV-14")
    @needs("acquire", "latches", "extend")
    @pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
    @pytest.mark.parametrize("id", ["a", UUID], ids=["short", "UUID"])
    async def test_who_gets_a_free_id_gets_nothing_else(
        self, driver: Driver, clock: Clock, state: State, id: str
    ) -> None:
        """Neither in the store nor to be seen anything is left of the one before."""
        bonds: dict[str, Any] = {"key": "b", "latch": "b", "limits": (Limited("limit:b", 1),)}
        first = record(id, max_attempts=7, fair="f", priority=3, **bonds)
        await driver.enqueue([first], latches=[Latch("b", b"")])
        got = await claim_one(driver)
        await driver.extend([Extension(id, got.token, 40, "half")], LEASE)
        told = settlement(
            got,
            state,
            exceptions=2,
            result=b"r",
            error="e",
            traceback="t",
            attempt=b"1",
            retention=9,
        )
        await driver.settle([told])
        clock.advance(9)
        assert await driver.enqueue([record(id)]) == [None]
        assert await driver.enqueue([record("another")]) == [None]
        for _ in range(2):
            found = {job.id: job for job in (await driver.find(Filter(source=Q))).items}
            assert replace(found[id], id="another") == found["another"]
            assert await driver.count(Filter(latch="b")) == 0
            claims = {one.id: one for one in await claim(driver)}
            if claims:
                assert (claims[id].latch, claims[id].exceptions) == (None, 0)

    @proves("DRV-14")
    @needs("delete")
    async def test_the_retention_of_one_that_was_deleted_does_not_end_its_successor(
        self, driver: Driver, clock: Clock
    ) -> None:
        await end(driver, await enqueue_and_claim(driver), State.COMPLETED, retention=60)
        await driver.delete(Filter(ids=("a",)))
        await driver.enqueue([record("a")])
        clock.advance(60)
        assert ids(await claim(driver)) == ["a"]

    @proves("DRV-14")
    async def test_an_id_given_twice_in_one_call_is_stored_once(self, driver: Driver) -> None:
        answers = await driver.enqueue([record("a", payload=b"1"), record("a", payload=b"2")])
        assert answers == [None, "a"]
        assert [job.payload for job in await claim(driver)] == [b"1"]

    @proves("DSP-30")
    async def test_a_bad_record_in_the_middle_stores_nothing(self, driver: Driver) -> None:
        bad = record("b", payload=cast("bytes", object()))
        with pytest.raises(Exception, match=r"\S"):
            await driver.enqueue([record("a", key="k"), bad, record("c")])
        assert await driver.count(Filter()) == 0
        assert await driver.enqueue([record("d", key="k")]) == [None]
        assert ids(await claim(driver)) == ["d"]

    @proves("PRI-10")
    async def test_a_priority_out_of_range_is_refused(self, driver: Driver) -> None:
        for priority in (MIN_PRIORITY - 1, MAX_PRIORITY + 1):
            with pytest.raises((ValueError, DriverError)):
                await driver.enqueue([record("a"), record("b", priority=priority)])
        assert await driver.count(Filter()) == 0

    @proves("DRV-08")
    async def test_what_the_caller_changes_later_changes_nothing(self, driver: Driver) -> None:
        """Nothing is shared with the caller's objects."""
        job = record("a")
        await driver.enqueue([job])
        job.queue, job.payload, job.priority = "elsewhere", b"changed", 9
        got = await claim_one(driver)
        assert (got.payload, got.priority) == (b"payload", 1)
        got.attempts = got.token = 99
        stored = await look(driver, "a")
        assert stored is not None
        assert stored.attempts == 1
        stored.state = State.FAILED
        assert await state_of(driver, "a") == State.PROCESSING

    @proves("DRV-09")
    async def test_many_may_enqueue_at_once(self, driver: Driver) -> None:
        answers = await asyncio.gather(*(driver.enqueue([record(f"{n}")]) for n in range(20)))
        assert answers == [[None]] * 20
        assert await driver.count(Filter(source=Q)) == 20

    @proves("DRV-14")
    async def test_many_with_one_id_store_one_job(self, driver: Driver, other: Driver) -> None:
        handles = [driver, other] * 10
        answers = await asyncio.gather(*(handle.enqueue([record("a")]) for handle in handles))
        assert sorted(answers, key=str) == [["a"]] * 19 + [[None]]
        assert ids(await claim(driver)) == ["a"]

    @proves("TXN-07")
    async def test_a_transaction_of_something_else_is_refused(self, driver: Driver) -> None:
        """Refused before anything is stored."""
        with pytest.raises((DriverError, TypeError)):
            await driver.enqueue([record("a")], within=object())
        assert await driver.count(Filter()) == 0
