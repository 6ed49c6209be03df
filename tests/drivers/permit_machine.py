"""The state machine for drivers that keep permits: limits of jobs, and permits taken by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from msgspec.structs import replace

from asyncqueue.record import Filter, Limited, Record, Source, State

from .latch_machine import LatchMachine
from .machine import ENDS, IDS, records, settlement

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver

ONE: Final = Limited("one", 1)
OTHER: Final = Limited("other", 1)
RATE: Final = Limited("rate", 2, per=10.0)
KEYS: Final = ["one", "other", "rate", "by hand"]
HOLDERS: Final = ["h1", "h2", "job 1"]
limits = st.sampled_from([(ONE,), (OTHER,), (RATE,), (ONE, OTHER), (OTHER, ONE), (ONE, RATE)])
limited_records = st.lists(st.tuples(records, limits), min_size=1, max_size=5)
alike = st.builds(
    lambda ids, wanted: [(Record(id, "q", "One", b""), wanted) for id in ids],
    st.lists(st.sampled_from(IDS), min_size=2, max_size=5),
    limits,
)
"""Who wait for one and the same: of others there are seldom two in one place."""


class PermitMachine(LatchMachine):
    """As its parent; and where the driver keeps permits these are compared as well."""

    def __init__(self) -> None:
        super().__init__()
        self.any_limited = False

    @property
    def limited(self) -> bool:
        """Whether permits can be compared: not where only the order is checked."""
        return self.driver.has_limits and self.follower is None

    # Move

    @precondition(lambda self: self.limited)
    @rule(many=limited_records | alike)
    def enqueue_limited(self, many: list[tuple[Record, tuple[Limited, ...]]]) -> None:
        self.any_limited = True
        jobs = [replace(record, limits=wanted) for record, wanted in many]
        self.both(lambda driver: driver.enqueue(jobs))

    @precondition(lambda self: self.limited and self.any_limited)
    @rule(
        states=st.lists(st.sampled_from(ENDS), min_size=1, max_size=3),
        verb=st.sampled_from([None, "cancel", "delete"]),
    )
    def turn_over(self, states: list[State], verb: str | None) -> None:
        """End some of those that run, remove who is next, and see who comes in their place."""
        self.claim([Source("q"), Source("p")], 20, 30, "w1")
        running = self.run(self.model.find(Filter(states=(State.PROCESSING,)))).items
        newest = {claim.id: claim for claim in self.claims}
        claims = [newest[job.id] for job in running]
        self.end([settlement(c, state, 60) for c, state in zip(claims, states, strict=False)])
        if verb is not None:
            found = self.run(self.model.find(Filter(states=(State.PENDING,)))).items
            self.remove_many(verb, Filter(tuple(job.id for job in found[-1:])))
        self.claim([Source("q"), Source("p")], 20, 30, "w2")

    # Permits

    @precondition(lambda self: self.limited)
    @rule(
        key=st.sampled_from(KEYS),
        holder=st.sampled_from(HOLDERS),
        most=st.integers(1, 3),
        ttl=st.sampled_from([5, 20]),
    )
    def acquire(self, key: str, holder: str, most: int, ttl: float) -> None:
        self.both(lambda driver: driver.acquire(key, holder, most, ttl))

    @precondition(lambda self: self.limited)
    @rule(key=st.sampled_from(KEYS), holder=st.sampled_from([None, *HOLDERS]))
    def release(self, key: str, holder: str | None) -> None:
        self.both(lambda driver: driver.release(key, holder))

    @precondition(lambda self: self.limited and self.any_limited)
    @rule(key=st.sampled_from(["one", "other"]))
    def hold_up(self, key: str) -> None:
        """Those who need this permit cannot start meanwhile."""
        self.acquire(key, "h1", 1, 20)
        self.claim_all("w1")
        self.release(key, "h1")
        self.claim_all("w1")

    # Look

    @precondition(lambda self: self.latched and not self.any_limited and not self.any_fair)
    @rule(id=st.sampled_from([*IDS, "unknown"]))
    def ask_how_many_are_ahead(self, id: str) -> None:
        """Not where some were set aside, or take turns: who is ahead then is up to the store."""
        self.both(lambda driver: driver.ahead(id))

    # Always

    @invariant()
    def permits_look_the_same(self) -> None:
        if self.limited:
            self.both(permit_picture)


async def permit_picture(driver: Driver) -> dict[str, object]:
    """Who holds permits, and until when; a rate is held under a name that is up to the store."""
    told = {key: await driver.holders(key) for key in KEYS}
    ends = {key: [permit.expires_in for permit in permits] for key, permits in told.items()}
    for times in ends.values():
        assert times == sorted(times, key=lambda end: (end is None, end))
    return {
        "endless": {
            key: sorted(permit.holder for permit in permits if permit.expires_in is None)
            for key, permits in told.items()
        },
        "ends": ends,
        "by hand": {
            key: sorted(p.holder for p in permits if p.holder in HOLDERS)
            for key, permits in told.items()
        },
    }
