"""A job that fails where another one of its id failed before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.record import Extension, Latch, Limited, State

from .acts import LEASE, claim, ended, record, sql

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres import PostgresDriver
    from asyncqueue.testing import Clock

    from ...servers.schemas import Schema


async def test_all_that_is_kept_of_it_is_its_own(
    driver: PostgresDriver, clock: Clock, postgres_schema: Schema
) -> None:
    """Who stores an id in the very instant in which its job fails does not see it in time."""
    failed = f"SELECT * FROM {postgres_schema.name}.failed_jobs WHERE id = $1"
    await driver.enqueue([record("before", "elsewhere", name="other", payload=b"old")])
    (old,) = await claim(driver, queue="elsewhere")
    await driver.settle([ended(old, State.FAILED, error="old", attempt=b"old")])
    clock.advance(5)
    told = {"priority": 7, "max_attempts": 9, "latch": "b", "fair": "f", "payload": b"new"}
    limits = (Limited("two", 2),)
    jobs = [record(id, key=id, limits=limits, **told) for id in ("again", "fresh")]
    await driver.enqueue(jobs, latches=[Latch("b", b"")])
    clock.advance(5)
    both = await claim(driver)
    await driver.extend([Extension(one.id, one.token, 40.0, "half") for one in both], LEASE)
    rename = f"UPDATE {postgres_schema.name}.failed_jobs SET id = 'again'"
    await sql(postgres_schema.dsn, rename)
    clock.advance(5)
    story = {"error": "boom", "traceback": "Trace", "result": b"r", "attempt": b"new"}
    ends = [ended(one, State.FAILED, exceptions=3, latch=one.latch, **story) for one in both]
    assert len([answer for answer in await driver.settle(ends) if answer]) == 2
    ((again,), (fresh,)) = [await sql(postgres_schema.dsn, failed, id) for id in ("again", "fresh")]
    own = {"id", "key", "seq", "token"}
    assert {name: value for name, value in again.items() if name not in own} == {
        name: value for name, value in fresh.items() if name not in own
    }
    assert (again["key"], again["seq"] + 1) == ("again", fresh["seq"])
    tokens = {one.id: one.token for one in both}
    assert {row["id"]: row["token"] for row in (again, fresh)} == tokens
    assert (again["exceptions"], again["error"], again["history"]) == (3, "boom", b"new")
