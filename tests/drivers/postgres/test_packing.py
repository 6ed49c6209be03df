"""What goes to the server in one piece comes apart there as it was put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.postgres.packing import SEPARATOR, alike, blob, literal, packed
from asyncqueue.ids import new_id
from asyncqueue.record import Filter, Record, Source, State

from .acts import LEASE, ended

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres import PostgresDriver
    from asyncqueue.testing import Clock


async def test_each_of_many_new_jobs_keeps_what_is_its_own(
    driver: PostgresDriver, clock: Clock
) -> None:
    payloads = [b"", b"a", b"\x00\xff" * 300, b"", bytearray(b"bb"), memoryview(b"cc\x1f")]
    records = [
        Record(new_id(), f"q{n % 2}", f"Kind{n % 3}", payload, priority=n % 4, delay=n % 2 * 10.0)
        for n, payload in enumerate(payloads)
    ]
    for n, record in enumerate(records):
        record.max_attempts = None if n % 3 else n + 1
    assert await driver.enqueue(records) == [None] * len(records)
    clock.advance(10)
    sources = [Source("q0"), Source("q1")]
    claims = {job.id: job for job in (await driver.claim(sources, 10, LEASE, "w")).claims}
    for record in records:
        job = claims.pop(record.id)
        assert job.payload == bytes(record.payload)
        told = (job.queue, job.name, job.priority, job.max_attempts)
        assert told == (record.queue, record.name, record.priority, record.max_attempts)
    assert not claims


@pytest.mark.parametrize("retention", [0, 60])
@pytest.mark.parametrize(
    "ids",
    [
        [f"with{SEPARATOR}in", "after"],
        [f"{new_id()[:-1]}{SEPARATOR}", new_id()],
        ["comma,", 'quote"', "{brace}", "back\\slash", "NULL", " "],
        [SEPARATOR],
    ],
)
async def test_any_id_is_stored_and_settled(
    driver: PostgresDriver, ids: list[str], retention: float
) -> None:
    assert await driver.enqueue([Record(id, "q", "Any", b"") for id in ids]) == [None] * len(ids)
    claims = (await driver.claim([Source("q")], 10, LEASE, "w")).claims
    assert [job.id for job in claims] == ids
    ends = [ended(job, State.COMPLETED, retention=retention) for job in claims]
    assert await driver.settle(ends) == [True] * len(ids)
    assert await driver.settle(ends) == [False] * len(ids)
    kept = await driver.count(Filter(states=(State.COMPLETED,)))
    assert kept == (len(ids) if retention else 0)


async def test_completions_of_one_call_keep_their_own_numbers(
    driver: PostgresDriver, clock: Clock
) -> None:
    await driver.enqueue([Record(f"job {n}", "q", "Any", b"") for n in range(3)])
    claims = (await driver.claim([Source("q")], 10, LEASE, "w")).claims
    ends = [ended(job, State.COMPLETED, retention=10.0 * n) for n, job in enumerate(claims, 1)]
    for n, end in enumerate(ends):
        end.attempts, end.result = n + 1, b"%d" % n if n else None
    assert await driver.settle(ends) == [True] * 3
    found = {job.id: job for job in (await driver.find(Filter())).items}
    for n in range(3):
        job = found[f"job {n}"]
        assert (job.attempts, job.result) == (n + 1, b"%d" % n if n else None)
    clock.advance(15)
    await driver.prune(0)
    assert {job.id for job in (await driver.find(Filter())).items} == {"job 1", "job 2"}


def test_pieces() -> None:
    assert packed(["a", "b"]) == f"a{SEPARATOR}b"
    assert packed(["", "b", ""]) == f"{SEPARATOR}b{SEPARATOR}"
    assert packed([""]) is None
    assert packed([f"a{SEPARATOR}", "b"]) is None
    assert literal([1, -2]) == "{1,-2}"
    assert alike([1, 1]) == (None, 1)
    assert alike([1, None]) == ([1, None], None)
    assert blob([b"ab", b"", b"c"]) == (b"abc", "{0,2,2,3}")
