"""Rules of leaving: whichever way a job goes, it leaves behind nothing that others wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from asyncqueue.record import WAITING, Filter, Latch, Limited, On, Source, State
from asyncqueue.testing.conformance.rules import (
    LEASE,
    Rules,
    claim,
    claim_one,
    end,
    needs,
    record,
    settlement,
)

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Claim, Record
    from asyncqueue.testing.clock import Clock

KEPT: Final = 60.0


class Way(NamedTuple):
    """How a job that is being processed ends."""

    state: State | None
    """As which it is settled; None: its worker died."""
    retention: float = KEPT
    asked: float | None = None
    """The retention with which its cancellation was asked for before, if it was."""


WAYS: Final = (
    Way(State.COMPLETED),
    Way(State.COMPLETED, retention=0),
    Way(State.FAILED),
    Way(State.CANCELLED),
    Way(State.CANCELLED, retention=0),
    Way(State.COMPLETED, asked=KEPT),
    Way(State.PENDING, asked=KEPT),
    Way(State.PENDING, asked=0),
    Way(State.DELAYED, asked=KEPT),
    Way(State.DELAYED, asked=0),
    Way(None, asked=KEPT),
    Way(None, asked=0),
)


class Bonds(NamedTuple):
    """What one job has and others wait for: one permit, a key, the last member of a latch."""

    word: str
    latched: bool = True

    @property
    def limit(self) -> Limited:
        """Of one permit, which a store in several parts keeps where it keeps the others."""
        return Limited(f"limit:{self.word}", 1)

    def job(self, *, delay: float = 0.0) -> Record:
        """Who has all of them."""
        latch = self.word if self.latched else None
        name = f"{self.word} job"
        return record(name, key=self.word, latch=latch, limits=(self.limit,), delay=delay)

    def others(self, *names: str) -> list[Record]:
        """Who wait for the permit."""
        return [record(f"{self.word} {name}", limits=(self.limit,)) for name in names]

    async def store(self, driver: Driver, job: Record) -> None:
        """Store it, with its latch."""
        latches = [Latch(self.word, b"", retention=KEPT)] if self.latched else []
        assert await driver.enqueue([job], latches=latches) == [None]

    async def assert_free(self, driver: Driver, what: object) -> None:
        """Nobody has any of them any more, but for the next one, who has the permit."""
        (following,) = await claim(driver)
        (permit,) = await driver.holders(self.limit.key)
        assert (following.id, permit.holder) == (f"{self.word} next",) * 2, what
        counts = (await driver.counts())["q"]
        assert (counts.pending, counts.delayed, counts.processing) == (0, 0, 1), what
        await end(driver, following, State.COMPLETED)
        heir = record(f"{self.word} heir", "elsewhere", key=self.word)
        assert await driver.enqueue([heir]) == [None], what
        if self.latched:
            (told,) = await driver.latches([self.word])
            assert (told.total, told.pending) == (1, 0), what
            assert told.opened_at is not None, what


class LeavingRules(Rules):
    """Permit, key and latch: all are given back on all ways out."""

    @needs("acquire", "latches", "cancel", "sweep")
    @pytest.mark.parametrize("latched", [False, True])
    @pytest.mark.parametrize("attempt", [None, b"an attempt"])
    async def test_who_ran_leaves_nothing_behind(
        self, driver: Driver, clock: Clock, latched: bool, attempt: bytes | None
    ) -> None:
        for number, way in enumerate(WAYS):
            bonds = Bonds(f"w{number}", latched=latched)
            await bonds.store(driver, bonds.job())
            await driver.enqueue(bonds.others("next"))
            running = await claim_one(driver)
            assert await claim(driver) == []
            await leave(driver, clock, running, way, attempt)
            await bonds.assert_free(driver, way)

    @needs("acquire", "latches", "cancel", "delete")
    @pytest.mark.parametrize("standing", ["due", "delayed", "aside", "about to try"])
    @pytest.mark.parametrize("latched", [False, True])
    async def test_who_waited_leaves_nothing_behind(
        self, driver: Driver, standing: str, latched: bool
    ) -> None:
        for number, keep in enumerate((KEPT, 0.0, None)):
            bonds = Bonds(f"w{number}", latched=latched)
            await driver.enqueue(bonds.others("first"))
            first = await claim_one(driver)
            job = bonds.job(delay=100.0 if standing == "delayed" else 0.0)
            await bonds.store(driver, job)
            await driver.enqueue(bonds.others("next"))
            if standing in ("aside", "about to try"):
                assert await claim(driver) == []
            if standing == "about to try":
                await end(driver, first, State.COMPLETED)
            if keep is None:
                assert await driver.delete(Filter(ids=(job.id,))) == 1
            else:
                await driver.cancel(Filter(ids=(job.id,)), keep)
            if standing != "about to try":
                await end(driver, first, State.COMPLETED)
            await bonds.assert_free(driver, (standing, keep))

    @needs("acquire", "latches", "cancel", "delete", "counts")
    @pytest.mark.parametrize("verb", ["cancel", "delete"])
    @pytest.mark.parametrize("state", WAITING)
    async def test_who_came_back_is_counted_no_more(
        self, driver: Driver, verb: str, state: State
    ) -> None:
        """Whatever it wanted, and wherever it stands."""
        wants: tuple[dict[str, Any], ...] = (
            {},
            {"fair": "f"},
            {"limits": (Limited("limit:l", 1),)},
            {"fair": "f", "limits": (Limited("limit:l", 1),)},
        )
        for number, wanted in enumerate(wants):
            queue, names = f"q{number}", (f"a{number}", f"b{number}")
            await driver.enqueue([record(name, queue, **wanted) for name in names])
            first = await claim_one(driver, Source(queue))
            await driver.settle([settlement(first, state, delay=50)])
            assert (await driver.counts())[queue].pending == 2 - (state is State.DELAYED)
            gone = Filter(ids=(first.id,))
            await (driver.cancel(gone, KEPT) if verb == "cancel" else driver.delete(gone))
            counts = (await driver.counts())[queue]
            assert (counts.pending, counts.delayed, counts.processing) == (1, 0, 0), wanted
            (second,) = await claim(driver, Source(queue))
            assert second.id != first.id
            await end(driver, second, State.COMPLETED)

    @needs("latches", "forget_latches")
    @pytest.mark.parametrize("way", ["dropped", "forgotten"])
    async def test_who_is_held_back_for_nothing_leaves_nothing_behind(
        self, driver: Driver, way: str
    ) -> None:
        """A key would be held for ever."""
        held = record("held", key="b", latch="b", held=On.FAILURE)
        await driver.enqueue([record("a", latch="b"), held], latches=[Latch("b", b"")])
        assert await driver.enqueue([record("early", key="b")]) == ["held"]
        if way == "dropped":
            only = await claim_one(driver)
            await driver.settle([settlement(only, State.COMPLETED)])
        else:
            assert await driver.forget_latches(["b"]) == 1
        assert await driver.enqueue([record("heir", key="b")]) == [None]
        assert await driver.enqueue([record("held")]) == [None]

    @needs("latches")
    async def test_who_was_held_back_leaves_nothing_behind_either(self, driver: Driver) -> None:
        held = record("held", key="b", latch="b", held=On.SUCCESS)
        await driver.enqueue([record("a", latch="b"), held], latches=[Latch("b", b"")])
        for name in ("a", "held"):
            assert await driver.enqueue([record("early", key="b")]) == ["held"]
            only = await claim_one(driver)
            assert only.id == name
            await driver.settle([settlement(only, State.COMPLETED)])
        assert await driver.enqueue([record("heir", key="b")]) == [None]


async def leave(
    driver: Driver, clock: Clock, running: Claim, way: Way, attempt: bytes | None
) -> None:
    """End a claim this way."""
    if way.asked is not None:
        await driver.cancel(Filter(ids=(running.id,)), way.asked)
    if way.state is None:
        clock.advance(LEASE + 1)
        await driver.sweep()
    else:
        last = settlement(running, way.state, retention=way.retention, attempt=attempt)
        (answer,) = await driver.settle([last])
        assert answer
