"""A store with one of each thing in it, and what becomes of its jobs in the ten minutes after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncqueue.record import (
    Extension,
    Filter,
    Hold,
    Latch,
    Limited,
    On,
    Presence,
    Record,
    Settlement,
    Source,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Claim
    from asyncqueue.testing import Clock

LEASE = 30.0
TURNING = Source("turning")
SOURCES = [Source("q"), Source("other"), TURNING]
BATCH = {"member-0", "member-1", "on-success", "on-end"}
LIMITED = {
    *(f"one-{n}" for n in range(3)),
    *(f"{kind}-{n}" for kind in ("slow", "paced") for n in range(2)),
}
DONE = {
    *("retried", "running-1", "until-claimed", "urgent-1", *BATCH, *LIMITED),
    *(f"{kind}-{n}" for kind in ("elsewhere", "keyed", "late") for n in range(2)),
    *(f"plain-{n}" for n in range(3)),
    *(f"turn-{n}" for n in range(1, 4)),
    *(f"fair-{n}" for n in range(4)),
}
"""Whoever is to run in a store that nobody damages."""


def record(id: str, **changes: Any) -> Record:
    return Record(**({"id": id, "queue": "q", "name": "Kind", "payload": b"payload"} | changes))


async def fill(driver: Driver, clock: Clock) -> None:
    """One of each thing that there is in a store."""
    ended = [record(id) for id in ("completed", "failed", "retried", "cancelled")]
    await driver.enqueue(ended)
    claims = (await driver.claim(SOURCES, 4, LEASE, "w0")).claims
    await driver.extend([Extension(one.id, one.token, 50, "half") for one in claims], LEASE)
    done, failed, retried, cancelled = claims
    await driver.settle(
        [
            Settlement(done.id, done.token, State.COMPLETED, 1, result=b"r", retention=9999),
            Settlement(failed.id, failed.token, State.FAILED, 1, error="e", attempt=b"told"),
            Settlement(retried.id, retried.token, State.DELAYED, 1, delay=5, error="e"),
            Settlement(cancelled.id, cancelled.token, State.CANCELLED, 1, retention=9999),
        ]
    )
    one_at_once, per_minute = Limited("one", 1), Limited("slow", 1, 60.0)
    await driver.enqueue(
        [record(f"turn-{n}", queue="turning", fair=f"t-{n % 2}") for n in range(4)]
    )
    (claim,) = (await driver.claim([TURNING], 1, LEASE, "w0")).claims
    await driver.settle([Settlement(claim.id, claim.token, State.COMPLETED, 1)])
    await driver.enqueue([record("old-member", latch="old")], latches=[Latch("old", b"old")])
    (claim,) = (await driver.claim(SOURCES, 1, LEASE, "w0")).claims
    await driver.settle([Settlement(claim.id, claim.token, State.COMPLETED, 1, latch="old")])
    await driver.enqueue(
        [
            *(record(f"running-{n}") for n in range(2)),
            *(record(f"one-{n}", limits=(one_at_once,)) for n in range(3)),
            *(record(f"slow-{n}", limits=(per_minute, one_at_once)) for n in range(2)),
            *(record(f"paced-{n}", limits=(Limited("pace", 1, 60.0),)) for n in range(2)),
        ]
    )
    running = (await driver.claim(SOURCES[:2], 9, LEASE, "w1")).claims
    await driver.cancel(Filter(ids=(running[0].id,)), 9999)
    await driver.enqueue(
        [
            *(record(f"plain-{n}") for n in range(3)),
            *(record(f"urgent-{n}", priority=5) for n in range(2)),
            *(record(f"keyed-{n}", key=f"key-{n}") for n in range(2)),
            record("until-claimed", key="key-c", key_until_claimed=True, key_ttl=500),
            *(record(f"late-{n}", delay=3 + n) for n in range(2)),
            *(record(f"fair-{n}", fair=f"tenant-{n % 2}") for n in range(4)),
            *(record(f"elsewhere-{n}", queue="other") for n in range(2)),
        ]
    )
    await driver.enqueue(
        [
            *(record(f"member-{n}", latch="batch") for n in range(2)),
            record("on-success", latch="batch", held=On.SUCCESS, guards=True),
            record("on-end", latch="batch", held=On.END),
        ],
        latches=[Latch("batch", b"data")],
    )
    await driver.cancel(Filter(ids=("urgent-0",)), 9999)
    await driver.acquire("by-hand", "holder", 3, 999)
    await driver.pause(["paused"], on=True)
    await driver.announce(Presence("w1", "host", 1, ["q"], 4, clock.time()), 999)


async def settled(driver: Driver, claims: Sequence[Claim]) -> set[str]:
    """End these well; answers the ids of those that were held."""
    ends = [
        Settlement(
            *(claim.id, claim.token, State.COMPLETED, claim.attempts),
            latch=claim.latch,
            retention=9999,
        )
        for claim in claims
    ]
    held = await driver.settle(ends)
    return {claim.id for claim, one in zip(claims, held, strict=True) if one}


class Course:
    """What is done from then on, what jobs are ``done``, and what went ``wrong`` meanwhile."""

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self.done: set[str] = set()
        self.wrong: list[str] = []
        self._driver = driver
        self._clock = clock

    async def run(self) -> None:
        """Look at all there is, work until nothing is left, look again, and clear all away."""
        await self._look()
        await self._work()
        await self._look()
        await self._clear()

    async def _tried(self, what: str, called: Awaitable[Any]) -> Any:
        try:
            return await called
        except Exception as error:
            self.wrong.append(f"{what}: {error!r} {error.__cause__!r}"[:500])
            return None

    async def _work(self) -> None:
        driver = self._driver
        for step in range(12):
            await self._tried("sweep", driver.sweep())
            for _ in range(40):
                claimed = await self._tried("claim", driver.claim(SOURCES, 3, LEASE, "w2"))
                if claimed is None or not claimed.claims:
                    break
                renewed = [Extension(one.id, one.token, 10, "m") for one in claimed.claims]
                holds = await self._tried("extend", driver.extend(renewed, LEASE))
                assert holds is None or set(holds) == {Hold.HELD}
                done = await self._tried("settle", settled(driver, claimed.claims))
                self.done |= done or set()
            else:
                self.wrong.append("there is no end of claims")
            self._clock.advance(10 if step < 4 else 90)

    async def _look(self) -> None:
        driver, tried = self._driver, self._tried
        await tried("counts", driver.counts())
        await tried("find", driver.find(Filter()))
        await tried("find finished", driver.find(Filter(), order="finished"))
        await tried("find members", driver.find(Filter(latch="batch")))
        for state in State:
            await tried(f"find {state}", driver.find(Filter(states=(state,))))
            await tried(f"count {state}", driver.count(Filter(states=(state,))))
        await tried("latches", driver.latches())
        await tried("workers", driver.workers())
        await tried("called off", driver.called_off("w1"))
        await tried("paused", driver.paused())
        await tried("ahead", driver.ahead("plain-1"))
        for key in ("one", "slow", "by-hand"):
            await tried("holders", driver.holders(key))

    async def _clear(self) -> None:
        driver, tried = self._driver, self._tried
        fresh = [record("new"), record("new-in-turn", fair="tenant-0", key="key-0")]
        await tried("enqueue", driver.enqueue(fresh))
        await tried("announce", driver.announce(Presence("w3", "h", 1, ["q"], 1, 0.0), 9))
        await tried("retire", driver.retire("w1"))
        await tried("release", driver.release("by-hand"))
        await tried("requeue", driver.requeue(Filter()))
        await tried("cancel", driver.cancel(Filter(), 10))
        await tried("prune", driver.prune(1))
        await tried("call off", driver.call_off(["batch"]))
        await tried("forget", driver.forget_latches(["batch"]))
        await tried("delete", driver.delete(Filter()))
