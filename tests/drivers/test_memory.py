"""What is peculiar to the memory driver."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.memory.entry import new_entry
from asyncqueue.drivers.memory.line import Line
from asyncqueue.record import WAITING, Filter, Latch, Record, Settlement, Source, State
from asyncqueue.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

pytestmark = pytest.mark.asyncio

Q = Source("q")


def records(count: int, queue: str = "q") -> list[Record]:
    return [Record(f"{n}", queue, "Kind", b"", delay=n % 3) for n in range(count)]


@pytest.mark.case("DRV-01")
async def test_a_new_driver_is_empty() -> None:
    """Gone on restart; and built directly."""
    await MemoryDriver().enqueue(records(3))
    assert await MemoryDriver().count(Filter()) == 0


async def test_jobs_live_as_long_as_one_handle() -> None:
    driver = MemoryDriver()
    await driver.enqueue(records(3))
    twin = driver.clone()
    await driver.close()
    del driver
    assert await twin.count(Filter(source=Q, states=WAITING)) == 3


@pytest.mark.case("MON-16")
async def test_cancelled_jobs_leave_no_gaps_in_a_line() -> None:
    """The order of the others is the same."""
    clock = Clock()
    driver = MemoryDriver(clock=clock)
    await driver.enqueue(records(1000))
    gone = Filter(ids=tuple(f"{n}" for n in range(1000) if n % 10))
    assert len(await driver.cancel(gone, 0)) == 900
    clock.advance(5)
    claims = (await driver.claim([Q], 1000, 30, "w")).claims
    left = [(n % 3, n) for n in range(0, 1000, 10)]
    assert [claim.id for claim in claims] == [f"{n}" for _, n in sorted(left)]


async def test_a_line_forgets_those_who_left_it() -> None:
    """A cancelled job must not stay in memory until its turn would have come."""
    line = Line()
    entries = [new_entry(record, now=0.0) for record in records(1000)]
    for seq, entry in enumerate(entries):
        entry.seq = seq
        line.join(entry, now=0.0)
    before = sys.getrefcount(entries[1])
    for entry in entries[1:]:
        entry.state = State.CANCELLED
        line.leave(entry)
    assert list(line) == [entries[0]]
    after = sys.getrefcount(entries[1])
    assert after == before - 1


async def test_empty_queues_are_forgotten_when_pruned() -> None:
    driver = MemoryDriver()
    for n in range(50):
        queue = f"tenant {n}"
        await driver.enqueue([Record(queue, queue, "Kind", b"")])
        (claim,) = (await driver.claim([Source(queue)], 1, 30, "w")).claims
        await driver.settle([Settlement(claim.id, claim.token, State.COMPLETED, attempts=1)])
    assert len(await driver.counts()) == 50
    assert await driver.prune(60) == 0
    assert await driver.counts() == {}


@pytest.mark.case("BAT-27", on="memory")
async def test_latches_are_forgotten_once_their_retention_is_over() -> None:
    """With all that is known of their members, whether or not anybody asks for them."""
    clock = Clock()
    driver = MemoryDriver(clock=clock)
    for n in range(50):
        member = Record(f"{n}", "q", "Kind", b"", latch=f"latch {n}")
        await driver.enqueue([member], latches=[Latch(f"latch {n}", b"", retention=60)])
    for claim in (await driver.claim([Source("q")], 49, 1000, "w")).claims:
        last = Settlement(claim.id, claim.token, State.COMPLETED, attempts=1, latch=claim.latch)
        await driver.settle([last])
    kept = driver._store.latches
    clock.advance(59)
    await driver.prune(60)
    assert len(kept._states) == 50
    clock.advance(2)
    await driver.prune(60)
    for known in (kept._states, kept._held, kept._members):
        assert list(known) == ["latch 49"]
    assert kept._expiring == []


@pytest.mark.case("DRV-10")
async def test_no_verb_ever_suspends() -> None:
    """What cannot be interrupted cannot be cancelled half-way."""
    driver = MemoryDriver()
    acts: list[Coroutine[Any, Any, object]] = [
        driver.enqueue(records(9)),
        driver.claim([Q], 9, 30, "w"),
        driver.sweep(),
        driver.find(Filter()),
        driver.counts(),
        driver.cancel(Filter(), 60),
        driver.prune(0),
    ]
    for act in acts:
        with pytest.raises(StopIteration):
            act.send(None)
