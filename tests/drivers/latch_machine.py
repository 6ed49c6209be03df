"""The state machine for drivers that keep latches: members, who is held back, what follows."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from msgspec.structs import replace

from asyncqueue.drivers.base import Driver
from asyncqueue.errors import DriverError, LeaseLost
from asyncqueue.record import Filter, Latch, On, Presence, Record, Source, State

from .machine import (
    ENDS,
    IDS,
    QUEUES,
    DriverMachine,
    everything,
    filters,
    picks,
    records,
    retentions,
    settlement,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.record import Settlement, Tally

UNKNOWN = "unknown"
held_records = st.builds(
    Record,
    id=st.sampled_from(IDS),
    queue=st.sampled_from(QUEUES),
    name=st.just("Held"),
    payload=st.binary(max_size=4),
    priority=st.sampled_from([1, 1, 10]),
    delay=st.sampled_from([0, 0, 5, -1]),
    key=st.sampled_from([None, None, "k"]),
    held=st.sampled_from(list(On)),
    guards=st.booleans(),
)
some_records = st.lists(records, min_size=1, max_size=4)


def callbacks(ids: list[str], delay: float) -> list[Record]:
    """As a batch has them: with less than these, the last one has seldom something to wait for."""
    then, catch, last = [Record(id, "q", "Held", b"", delay=delay) for id in ids]
    return [
        replace(then, held=On.SUCCESS, guards=True),
        replace(catch, held=On.FAILURE, guards=True),
        replace(last, held=On.END),
    ]


some_held = st.lists(held_records, max_size=4) | st.builds(
    callbacks,
    st.lists(st.sampled_from(IDS), min_size=3, max_size=3, unique=True),
    st.sampled_from([0, 5]),
)
latches = st.integers(0, 3)
"""One of the newest, or one that nobody knows."""


class LatchMachine(DriverMachine):
    """As its parent; and where the driver has latches these are compared as well."""

    def __init__(self) -> None:
        super().__init__()
        self.latches: list[str] = []

    @property
    def latched(self) -> bool:
        """Whether latches can be compared: not yet with a driver in several parts."""
        return self.driver.has_latches and not self.in_parts

    @property
    def any_latch(self) -> bool:
        """Whether there was one."""
        return bool(self.latches)

    def latch(self, number: int) -> str:
        """The id of one of the newest, or one that nobody knows."""
        return [UNKNOWN, *self.latches][-1 - number :][0]

    def new_latch(self, *, breaks: bool, retention: float) -> Latch:
        """A latch of its own."""
        self.latches.append(f"latch {len(self.latches)}")
        return Latch(self.latches[-1], b"data", breaks=breaks, retention=retention)

    def either(self, act: Callable[[Driver], Awaitable[object]]) -> None:
        """Do it to both; both must answer the same, or refuse it."""

        async def refused(driver: Driver) -> object:
            try:
                return await act(driver)
            except DriverError:
                return "refused"

        self.both(refused)

    def end(self, ends: list[Settlement]) -> None:
        """Those that wait again remember that they ran."""
        if self.latched:
            ends = [replace(s, attempt=b"again") if s.state is State.DELAYED else s for s in ends]
        super().end(ends)

    # Move

    @precondition(lambda self: self.latched)
    @rule(
        members=some_records,
        held=some_held,
        breaks=st.booleans(),
        retention=st.sampled_from([5, 200, 200]),
        again=st.sampled_from([False] * 5 + [True]),
    )
    def enqueue_with_a_latch(
        self,
        members: list[Record],
        held: list[Record],
        breaks: bool,
        retention: float,
        again: bool,
    ) -> None:
        latch = self.new_latch(breaks=breaks, retention=retention)
        many = joining(latch.id, [*members, *held])
        self.either(lambda driver: driver.enqueue(many, latches=[latch]))
        if again:
            self.either(lambda driver: driver.enqueue(many, latches=[latch]))

    @precondition(lambda self: self.latched and self.any_latch)
    @rule(number=latches, many=some_records, held=some_held, plain=some_records)
    def join(
        self, number: int, many: list[Record], held: list[Record], plain: list[Record]
    ) -> None:
        late = [*plain[1:], *joining(self.latch(number), [*many, *held[:1]])]
        self.either(lambda driver: driver.enqueue(late))

    @precondition(lambda self: self.latched and self.claims)
    @rule(
        numbers=picks,
        states=st.lists(st.sampled_from(ENDS), min_size=3, max_size=3),
        retention=retentions,
        attempt=st.sampled_from([None, b"first", b"\0second"]),
        follow_ups=st.lists(records, min_size=1, max_size=3),
    )
    def settle_and_go_on(
        self,
        numbers: list[int],
        states: list[State],
        retention: float,
        attempt: bytes | None,
        follow_ups: list[Record],
    ) -> None:
        ends = [
            settlement(claim, state, retention)
            for claim, state in zip(self.pick(numbers), states, strict=False)
        ]
        ends[0] = replace(ends[0], attempt=attempt)
        follow_ups = others_than(ends, follow_ups)
        # Some of them to the first, the others to the last, which may be the same.
        first = follow_ups[:1]
        ends[0] = replace(ends[0], follow_ups=first if len(ends) > 1 else follow_ups)
        if len(ends) > 1:
            ends[-1] = replace(ends[-1], follow_ups=follow_ups[1:])
        # Which end of one and the same claim counts is up to the store.
        self.end(list({end.id: end for end in ends}.values()))

    @precondition(lambda self: self.latched and self.any_latch)
    @rule(state=st.sampled_from([State.COMPLETED, State.COMPLETED, State.FAILED]))
    def work_off(self, state: State) -> None:
        """Members seldom end all by chance; and only then a latch opens."""
        self.claim([Source("q"), Source("p")], 20, 30, "w1")
        running = self.run(self.model.find(Filter(states=(State.PROCESSING,)))).items
        newest = {claim.id: claim for claim in self.claims}
        claims = [newest[job.id] for job in running]
        self.end([settlement(claim, State.COMPLETED, 60) for claim in claims[1:]])
        self.end([settlement(claim, state, 60) for claim in claims[:1]])

    @precondition(lambda self: self.latched and self.claims)
    @rule(
        number=st.integers(0, 5),
        state=st.sampled_from(ENDS),
        latch=latches,
        members=some_records,
        held=some_held,
    )
    def settle_and_join(
        self, number: int, state: State, latch: int, members: list[Record], held: list[Record]
    ) -> None:
        """Alone: memory keeps those before one that is refused, others refuse them as well."""
        (claim,) = self.pick([number])
        end = settlement(claim, state, 60)
        follow_ups = joining(self.latch(latch), others_than([end], [*members, *held[:1]]))
        self.refusable(replace(end, follow_ups=follow_ups))

    @precondition(lambda self: self.latched and self.claims)
    @rule(
        number=st.integers(0, 5),
        members=some_records,
        held=some_held,
        plain=st.lists(records, max_size=1),
    )
    def settle_and_begin(
        self, number: int, members: list[Record], held: list[Record], plain: list[Record]
    ) -> None:
        (claim,) = self.pick([number])
        latch = self.new_latch(breaks=True, retention=60)
        done = settlement(claim, State.COMPLETED, 60)
        follow_ups = [*plain, *joining(latch.id, [*members, *held])]
        follow_ups = others_than([done], follow_ups)
        self.refusable(replace(done, follow_ups=follow_ups, latches=[latch]))

    def refusable(self, end: Settlement) -> None:
        """Settle with both, which may refuse it."""

        async def settle(driver: Driver) -> object:
            return list(await driver.settle(self.told(driver, [end])))

        self.either(settle)

    @precondition(lambda self: self.latched and self.claims and transacts(self.driver))
    @rule(number=st.integers(0, 5), state=st.sampled_from(ENDS), follow_ups=st.lists(records))
    def settle_in_a_transaction(self, number: int, state: State, follow_ups: list[Record]) -> None:
        (claim,) = self.pick([number])
        end = settlement(claim, state, 60)
        end = replace(end, follow_ups=others_than([end], follow_ups[:2]))

        async def settle(driver: Driver) -> object:
            (told,) = self.told(driver, [end])
            if driver is self.model:
                (answer,) = await driver.settle([told])
                return answer
            with contextlib.suppress(LeaseLost):
                async with driver.transaction(told):
                    pass
                return told.counted or True
            return False

        self.both(settle)

    # Look

    @precondition(lambda self: self.latched and self.any_latch)
    @rule(number=latches, which=filters, order=st.sampled_from(["created", "finished"]))
    def find_members(self, number: int, which: Filter, order: str) -> None:
        id = self.latch(number)
        if not self.run(self.model.latches([id])):
            return  # Whether members of a forgotten one are still found is up to the store.
        members = replace(which, latch=id)
        self.both(lambda driver: everything(driver, members, order))
        self.both(lambda driver: driver.count(members))

    @precondition(lambda self: self.latched)
    @rule(id=st.sampled_from([*IDS, UNKNOWN]))
    def ask_how_many_are_ahead(self, id: str) -> None:
        self.both(lambda driver: driver.ahead(id))

    # Operate

    @precondition(lambda self: self.latched and self.any_latch)
    @rule(numbers=st.lists(latches, min_size=1, max_size=2))
    def call_off(self, numbers: list[int]) -> None:
        ids = [self.latch(number) for number in numbers]
        self.both(lambda driver: driver.call_off(ids))

    @precondition(lambda self: self.latched and self.any_latch)
    @rule(number=latches)
    def forget(self, number: int) -> None:
        ids = [self.latch(number), UNKNOWN, self.latch(number)]
        self.both(lambda driver: driver.forget_latches(ids))

    @precondition(lambda self: self.latched and self.any_latch)
    @rule(number=latches, verb=st.sampled_from(["cancel", "delete", "requeue"]))
    def remove_members(self, number: int, verb: str) -> None:
        id = self.latch(number)
        if not self.run(self.model.latches([id])):
            return
        members = Filter(latch=id)
        if verb == "cancel":
            self.both(lambda driver: driver.cancel(members, 60))
        elif verb == "delete":
            self.both(lambda driver: driver.delete(members))
        else:
            self.requeue(members)

    @precondition(lambda self: self.latched)
    @rule()
    def announce_with_places(self) -> None:
        here = Presence(
            "w1", "host", 1, ["q"], 10, started_at=self.clock.time(), places={"job 1": "a.py:7"}
        )
        self.both(lambda driver: driver.announce(here, 60))

    # Always

    @invariant()
    def latches_look_the_same(self) -> None:
        if self.latched:
            self.both(latch_picture)


def joining(latch: str, many: Sequence[Record]) -> list[Record]:
    """These records, of this latch."""
    return [replace(record, latch=latch) for record in many]


def others_than(ends: Sequence[Settlement], records: Sequence[Record]) -> list[Record]:
    """Those of other ids: whether a job may follow itself is up to the store."""
    ids = {end.id for end in ends}
    return [record for record in records if record.id not in ids]


def transacts(driver: Driver) -> bool:
    """Whether it has transactions."""
    return type(driver).transaction is not Driver.transaction


async def latch_picture(driver: Driver) -> dict[str, object]:
    """All that can be seen of latches, of those they hold back, and of leases."""
    named = Filter(ids=tuple(IDS))
    leases = (await driver.find(named, limit=1000)).items
    return {
        "latches": await tallies(driver),
        "by id": await everything(driver, named, "created"),
        "leases": {
            job.id: None if job.lease_left is None else round(job.lease_left, 2) for job in leases
        },
    }


async def tallies(driver: Driver) -> list[Tally]:
    """All latches. Those of one instant may be shown in any order."""
    told = await driver.latches()
    times = [tally.created_at for tally in told]
    assert times == sorted(times, reverse=True)
    return sorted(told, key=lambda tally: tally.id)
