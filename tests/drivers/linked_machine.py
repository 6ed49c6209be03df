"""The state machine with latches, follow-ups and histories: for drivers that have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from msgspec.structs import asdict, replace

from asyncqueue.errors import DriverError
from asyncqueue.record import Filter, Latch, On, Record, Settlement, State

from .machine import ENDS, IDS, DriverMachine, picks, records, retentions, seen, some_ids

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver

latches = st.builds(
    Latch,
    id=st.just("new"),
    data=st.binary(max_size=4),
    breaks=st.booleans(),
    retention=st.sampled_from([0.0, 20.0, 500.0]),
)
which_latch = st.integers(1, 3)
"""Counted from the newest."""
places = st.sampled_from(
    [
        *[(None, False)] * 4,
        *[(On.SUCCESS, True), (On.FAILURE, True), (On.END, False)] * 2,
        *[(On.SUCCESS, False), (On.FAILURE, False), (On.END, True)],
    ]
)
"""What a record is to its latch: mostly a member, or what it is held for and whether it guards."""
linked = st.tuples(records, places)


def linked_to(latch: str, many: list[tuple[Record, tuple[On | None, bool]]]) -> list[Record]:
    """These records, all of this latch."""
    return [
        replace(record, latch=latch, held=held, guards=guards) for record, (held, guards) in many
    ]


class LinkedMachine(DriverMachine):
    """Does the same with latches, too."""

    def __init__(self) -> None:
        super().__init__()
        self.names = ["unknown"] * 3

    def name(self, number: int) -> str:
        """One of the latches there were."""
        return self.names[-number]

    def new_name(self) -> str:
        """A latch that there never was."""
        self.names.append(f"latch {len(self.names) - 2}")
        return self.names[-1]

    def both_or_refused(self, act: Any) -> None:
        """Do it to both; both must answer the same, or both refuse it."""

        async def tried(driver: Driver) -> object:
            try:
                return await act(driver)
            except DriverError:
                return "refused"

        self.both(tried)

    # Move

    @rule(latch=latches, many=st.lists(linked, min_size=1, max_size=5))
    def enqueue_latch(self, latch: Latch, many: list[tuple[Record, Any]]) -> None:
        latch = replace(latch, id=self.new_name())
        stored = linked_to(latch.id, many)
        self.both(lambda driver: driver.enqueue(stored, latches=[latch]))
        self.both_or_refused(lambda driver: driver.enqueue(stored, latches=[latch]))

    @rule(number=which_latch, many=st.lists(linked, min_size=1, max_size=2))
    def join(self, number: int, many: list[tuple[Record, Any]]) -> None:
        stored = linked_to(self.name(number), many)
        self.both_or_refused(lambda driver: driver.enqueue(stored))

    @precondition(lambda self: self.claims)
    @rule(
        number=st.integers(0, 2),
        state=st.sampled_from(ENDS),
        retention=retentions,
        following=st.lists(records, max_size=2),
        batch=st.lists(linked, max_size=3),
        note=st.sampled_from([None, b"tried\0"]),
    )
    def settle_and_follow(
        self,
        number: int,
        state: State,
        retention: float,
        following: list[Record],
        batch: list[tuple[Record, Any]],
        note: bytes | None,
    ) -> None:
        (claim,) = self.pick([number])
        latch = Latch(self.new_name(), retention=20.0)
        end = Settlement(
            claim.id,
            claim.token,
            state,
            attempts=claim.attempts,
            error="boom" if state is State.FAILED else None,
            retention=retention,
            attempt=note,
            latch=claim.latch,
            follow_ups=[*following, *linked_to(latch.id, batch)],
            latches=[latch] if batch else [],
        )
        self.both(lambda driver: driver.settle(self.told(driver, [end])))

    @precondition(lambda self: self.claims)
    @rule(numbers=picks, state=st.sampled_from([State.COMPLETED, State.FAILED, State.CANCELLED]))
    def end_several(self, numbers: list[int], state: State) -> None:
        self.settle([3 * n for n in numbers], state, 60)

    # Operate

    @rule(numbers=st.lists(which_latch, max_size=2))
    def call_off(self, numbers: list[int]) -> None:
        which = [self.name(number) for number in numbers]
        self.both(lambda driver: driver.call_off(which))

    @rule(number=which_latch)
    def forget_latches(self, number: int) -> None:
        which = [self.name(number), "unknown"]
        self.both(lambda driver: driver.forget_latches(which))

    @rule(
        verb=st.sampled_from(["cancel", "delete"]),
        number=which_latch,
        ids=st.none() | some_ids,
        retention=retentions,
    )
    def remove_linked(
        self, verb: str, number: int, ids: tuple[str, ...] | None, retention: float
    ) -> None:
        name = self.name(number)
        known = name in {tally.id for tally in self.run(self.model.latches())}
        which = Filter(ids=ids) if ids is not None or not known else Filter(latch=name)
        if verb == "cancel":
            self.both(lambda driver: driver.cancel(which, retention))
        else:
            self.both(lambda driver: driver.delete(which))

    # Always

    @invariant()
    def latches_look_the_same(self) -> None:
        self.both(linked_picture)


async def linked_picture(driver: Driver) -> dict[str, object]:
    """All that can be seen of latches, their members and those that they hold back."""
    tallies = [asdict(tally) for tally in await driver.latches()]
    known = [tally["id"] for tally in tallies]
    some = [tally.id for tally in await driver.latches([*known[::2], "unknown"])]
    by_id = [seen(job) for job in (await driver.find(Filter(ids=tuple(IDS)), limit=100)).items]
    members = {
        latch: [job.id for job in (await driver.find(Filter(latch=latch), limit=100)).items]
        for latch in known[:3]
    }
    return {
        "tallies": tallies,
        "some": some,
        "by id": by_id,
        "members": members,
        "ahead": {id: await driver.ahead(id) for id in IDS},
    }
