"""What was claimed and never delivered goes back as if it had not been, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue.drivers.postgres import giving_back
from asyncqueue.record import Filter, Limited, State

from .acts import EVERYTHING, LEASE, claim, ended, record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.drivers.postgres import PostgresDriver
    from asyncqueue.record import Claim, StoredJob
    from asyncqueue.testing import Clock

    GiveBack = Callable[[PostgresDriver, list[Claim]], Awaitable[None]]

ONE = (Limited("one", 1),)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "turns": {"fair": "x"},
    "limited": {"limits": ONE},
    "limited turns": {"limits": (Limited("other", 1),), "fair": "x"},
}
"""Each has a queue of its own."""


async def by_claims(driver: PostgresDriver, claims: list[Claim]) -> None:
    """Whoever claimed was cancelled when the answer came."""
    session = await driver._opened()
    await session.work_in_steps(lambda work: giving_back.give_back(work, claims))


async def by_handouts(driver: PostgresDriver, claims: list[Claim]) -> None:
    """The answer never came: only the numbers of the calls are known."""
    session = await driver._opened()
    names = ", ".join(f"'{claim.id}'" for claim in claims)
    rows = await session.work(
        lambda store: store.connection.fetch(
            f"SELECT DISTINCT handout FROM {driver._tables.qualified('jobs')} WHERE id IN ({names})"
        )
    )
    handouts = [handout for (handout,) in rows]
    assert None not in handouts
    await session.work_in_steps(lambda work: giving_back.give_back_handouts(work, handouts))


@pytest.fixture(params=[by_claims, by_handouts])
def give_back(request: pytest.FixtureRequest) -> GiveBack:
    return request.param


async def looked(driver: PostgresDriver) -> dict[str, StoredJob]:
    return {job.id: job for job in (await driver.find(EVERYTHING, limit=100)).items}


async def store(driver: PostgresDriver, *suffixes: str) -> None:
    for suffix in suffixes:
        await driver.enqueue([record(f"{kind}{suffix}", kind, **KINDS[kind]) for kind in KINDS])


async def claim_each(driver: PostgresDriver, limit: int = 1) -> list[Claim]:
    return [one for kind in KINDS for one in await claim(driver, limit, queue=kind)]


async def test_it_is_as_if_nobody_had_claimed_it(
    driver: PostgresDriver, give_back: GiveBack
) -> None:
    await store(driver, " 1", " 2")
    claims = await claim_each(driver)
    assert [one.id for one in claims] == [f"{kind} 1" for kind in KINDS]
    await give_back(driver, claims)
    for stored in (await looked(driver)).values():
        assert (stored.state, stored.attempts, stored.worker) == (State.PENDING, 0, None)
    # They have their old places, and permits are free.
    again = await claim_each(driver)
    assert [(one.id, one.attempts) for one in again] == [(f"{kind} 1", 1) for kind in KINDS]
    assert all(new.token > old.token for new, old in zip(again, claims, strict=True))
    assert await driver.settle([ended(one) for one in claims]) == [False] * 4
    assert await driver.settle([ended(one) for one in again]) == [True] * 4
    assert [one.id for one in await claim_each(driver)] == [f"{kind} 2" for kind in KINDS]


async def test_what_takes_turns_goes_back_among_those_that_do(
    driver: PostgresDriver, give_back: GiveBack
) -> None:
    names = {"x1": "x", "x2": "x", "y1": "y", "y2": "y"}
    await driver.enqueue([record(name, fair=key) for name, key in names.items()])
    first = await claim(driver, 2)
    assert [one.id for one in first] == ["x1", "y1"]
    await give_back(driver, first)
    assert sorted(one.id for one in await claim(driver, 2)) == ["x1", "y1"]


async def test_what_was_called_off_meanwhile_stays_so(
    driver: PostgresDriver, give_back: GiveBack, clock: Clock
) -> None:
    """Its lease runs out, and then it is cancelled: it must not run once more before."""
    await store(driver, "")
    claims = await claim_each(driver)
    await driver.cancel(Filter(ids=tuple(KINDS)), 60)
    await give_back(driver, claims)
    for stored in (await looked(driver)).values():
        assert (stored.state, stored.attempts) == (State.PROCESSING, 1)
    assert await claim_each(driver) == []
    clock.advance(LEASE + 1)
    await driver.sweep()
    assert {job.state for job in (await looked(driver)).values()} == {State.CANCELLED}


async def test_what_somebody_else_has_by_now_is_his(driver: PostgresDriver, clock: Clock) -> None:
    await store(driver, "")
    stale = await claim_each(driver)
    clock.advance(LEASE + 1)
    await driver.sweep()
    held = await claim_each(driver)
    await by_claims(driver, stale)
    assert {job.state for job in (await looked(driver)).values()} == {State.PROCESSING}
    assert await driver.settle([ended(one) for one in held]) == [True] * 4


async def test_what_is_back_already_is_not_given_back_twice(driver: PostgresDriver) -> None:
    """Else an attempt that did count would count no more."""
    await store(driver, "")
    claims = await claim_each(driver)
    retries = [ended(one, State.DELAYED, delay=5.0, retention=0) for one in claims]
    assert await driver.settle(retries) == [True] * 4
    await by_claims(driver, claims)
    for stored in (await looked(driver)).values():
        assert (stored.state, stored.attempts) == (State.DELAYED, 1)


async def test_of_many_kinds_in_one_call_each_goes_back(
    driver: PostgresDriver, give_back: GiveBack
) -> None:
    await driver.enqueue([record(kind, **given) for kind, given in KINDS.items()])
    claims: list[Claim] = []
    while some := await claim(driver):
        claims += some
    assert {one.id for one in claims} == set(KINDS)
    await give_back(driver, claims)
    left = (await looked(driver)).values()
    assert {(job.state, job.attempts) for job in left} == {(State.PENDING, 0)}
