"""Short words for rules about a latch ``b``, its members, and the jobs that it holds back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.record import Claim, Counted, Latch, On, Source, State, Tally
from asyncqueue.testing.conformance.rules import claim, end, ids, record, settlement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record

CALLBACKS: Final = Source("callbacks")
KEPT: Final = 100.0


def members(*names: str) -> list[Record]:
    """Members of the latch ``b``."""
    return [record(name, latch="b") for name in names]


def held(name: str, on: On, *, guards: bool = False, delay: float = 0.0) -> Record:
    """A job that the latch ``b`` holds back, of a queue of its own."""
    return record(name, CALLBACKS.queue, latch="b", held=on, guards=guards, delay=delay)


CALLS: Final = [
    held("then", On.SUCCESS, guards=True),
    held("catch", On.FAILURE, guards=True),
    held("finally", On.END),
]


async def store(driver: Driver, records: Sequence[Record], *, breaks: bool = True) -> None:
    """Store these with a new latch ``b``."""
    latch = Latch("b", b"data", breaks=breaks, retention=KEPT)
    assert await driver.enqueue(records, latches=[latch]) == [None] * len(records)


async def tally(driver: Driver, id: str = "b") -> Tally:
    """What a latch that must be known has counted."""
    (only,) = await driver.latches([id])
    return only


async def settle(driver: Driver, claim: Claim, state: State, error: str | None = None) -> Counted:
    """Settle a claim of a member; answers what counts then."""
    (counted,) = await driver.settle([settlement(claim, state, error=error)])
    assert isinstance(counted, Counted)
    return counted


async def run(driver: Driver, *states: State, error: str | None = None) -> list[Counted]:
    """Claim as many members as there are states, and settle each so."""
    claims = await claim(driver, limit=len(states))
    assert len(claims) == len(states)
    return [
        await settle(driver, held, state, error if state is State.FAILED else None)
        for held, state in zip(claims, states, strict=True)
    ]


async def callbacks(driver: Driver) -> list[str]:
    """Claim, and complete, the jobs that were held back and can be claimed now."""
    claims = await claim(driver, CALLBACKS)
    for one in claims:
        await end(driver, one, State.COMPLETED)
    return ids(claims)


def numbers(told: Tally) -> tuple[int, int, int, int, int]:
    """Total, pending, completed, failed, skipped."""
    return told.total, told.pending, told.completed, told.failed, told.skipped
