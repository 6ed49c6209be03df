"""A state machine that does the same to a driver and to the memory driver, and compares.

Both take the time from one clock. After every step all that can be seen must be equal.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import asdict, replace

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.record import (
    FINISHED,
    Claim,
    Claimed,
    Extension,
    Filter,
    Presence,
    Record,
    Settlement,
    Source,
    State,
    StoredJob,
)
from asyncqueue.testing import Clock

from .following import FollowingDriver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from asyncqueue.drivers.base import Driver, Order

T = TypeVar("T")
C = TypeVar("C", Settlement, Extension)

IDS = [f"job {n}" for n in range(15)]
QUEUES = ["q", "p"]
WORKERS = ["w1", "w2"]
ENDS = [state for state in State if state is not State.PROCESSING]
FAIR = [None, "a", "a", "b", "c"]
"""Fair keys; None is a key of its own."""
SOURCES = [Source("q"), Source("p"), Source("q", low=1), Source("q", high=0), Source("none")]

records = st.builds(
    Record,
    id=st.sampled_from(IDS),
    queue=st.sampled_from(QUEUES),
    name=st.sampled_from(["One", "Two"]),
    payload=st.binary(max_size=4),
    priority=st.sampled_from([1, 1, 0, 10]),
    delay=st.sampled_from([0, 0, 0, 0, -1, 5, 20]),
    max_attempts=st.sampled_from([None, 3]),
    key=st.sampled_from([None, "k"]),
    key_ttl=st.sampled_from([None, 5]),
    key_until_claimed=st.sampled_from([False, False, True]),
)
some_ids = st.lists(st.sampled_from([*IDS, "unknown"]), max_size=3).map(tuple)
filters = st.builds(
    Filter,
    ids=st.none() | some_ids,
    source=st.none() | st.sampled_from(SOURCES),
    states=st.none() | st.lists(st.sampled_from(list(State)), max_size=3).map(tuple),
    name=st.sampled_from([None, None, "One"]),
    finished_before=st.sampled_from([None, None, None, 0.5, 10.5]),
)
picks = st.lists(st.integers(0, 5), min_size=1, max_size=3)
retentions = st.sampled_from([0, 10, 60])


class DriverMachine(RuleBasedStateMachine):
    """Set ``make_driver`` in a subclass."""

    make_driver: ClassVar[Callable[[Clock], Driver]]
    part_of: ClassVar[Callable[[Driver, Record], int] | None] = None
    """In which part of its store a driver that is not FIFO puts a record."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.follower: FollowingDriver | None = None
        self.any_fair = False
        self.model: MemoryDriver = MemoryDriver(clock=self.clock)
        if type(self).part_of is not None:
            self.follow()
        self.driver = type(self).make_driver(self.clock)
        self.claims: list[Claim] = []
        self.tokens: dict[tuple[str, int], int] = {}
        """The driver's token of each claim, by the id and token that the model gave it."""
        self.run(self.driver.open())

    def follow(self) -> None:
        """Claim what the driver claims, if it may: in which order is up to the store. At first."""
        self.model = self.follower = FollowingDriver(clock=self.clock)

    @property
    def in_parts(self) -> bool:
        """Whether the store is in several parts."""
        return type(self).part_of is not None

    def teardown(self) -> None:
        """Close what was opened."""
        self.run(self.driver.close())
        self.loop.close()

    def run(self, act: Coroutine[Any, Any, T]) -> T:
        """Do it now, on a loop that runs at no other time."""
        return self.loop.run_until_complete(act)

    def both(self, act: Callable[[Driver], Awaitable[T]], *, other_first: bool = False) -> T:
        """Do it to both; both must answer the same."""

        async def each() -> tuple[T, T]:
            if other_first:
                answer = await act(self.driver)
                return await act(self.model), answer
            return await act(self.model), await act(self.driver)

        expected, answer = self.run(each())
        assert answer == expected, f"It answered {answer}, and memory {expected}."
        return expected

    def pick(self, numbers: list[int]) -> list[Claim]:
        """Some claims: those that are held, stale ones of jobs that run again, or any."""
        which = Filter(states=(State.PROCESSING,))
        running = {job.id for job in self.run(self.model.find(which)).items}
        newest = {claim.id: claim for claim in self.claims if claim.id in running}
        held = list(newest.values())
        stale = [c for c in self.claims if c.id in running and c is not newest[c.id]]
        pools = [pool or self.claims for pool in (held, stale, self.claims)]
        return [pools[n % 3][-1 - n // 3 % len(pools[n % 3])] for n in numbers]

    def any_failed(self) -> bool:
        """Whether there is something to requeue."""
        return self.run(self.model.count(Filter(states=(State.FAILED,)))) > 0

    # Move

    @initialize(many=st.lists(records, min_size=2, max_size=6), in_turns=st.booleans())
    def begin(self, many: list[Record], in_turns: bool) -> None:
        if in_turns and self.driver.has_limits:
            self.follow()
        self.enqueue(many)

    @rule(many=st.lists(records, min_size=1, max_size=4))
    def enqueue(self, many: list[Record]) -> None:
        if self.in_parts:
            # Where the first of two with one id is refused for its key, the second comes late.
            many = list({record.id: record for record in many}.values())
        answers = self.both(lambda driver: driver.enqueue(many))
        part_of = type(self).part_of
        if self.follower is not None and part_of is not None:
            for record, answer in zip(many, answers, strict=True):
                if answer is None:
                    self.follower.parts[record.id] = part_of(self.driver, record)

    @precondition(lambda self: self.follower is not None and self.driver.has_limits)
    @rule(
        many=st.lists(records, min_size=1, max_size=6),
        keys=st.lists(st.sampled_from(FAIR), min_size=6, max_size=6),
    )
    def enqueue_in_turns(self, many: list[Record], keys: list[str | None]) -> None:
        """More of them in one place: else there is seldom a choice."""
        self.any_fair = True
        fair = [replace(job, fair=key) for job, key in zip(many, keys, strict=False)]
        self.enqueue([replace(job, queue="q") if job.fair else job for job in fair])

    @rule(
        sources=st.lists(st.sampled_from(SOURCES), min_size=1, max_size=3),
        limit=st.sampled_from([1, 2, 4, 0, -1]),
        lease=st.sampled_from([10, 30]),
        worker=st.sampled_from(WORKERS),
    )
    def claim(self, sources: list[Source], limit: int, lease: float, worker: str) -> None:
        given: dict[Driver, list[Claim]] = {}

        async def claim(driver: Driver) -> Claimed:
            claimed = await driver.claim(sources, limit, lease, worker)
            given[driver] = claimed.claims
            if driver is self.driver and self.follower is not None:
                self.follower.chosen = [claim.id for claim in claimed.claims]
            # A guess that is too early only costs a look; of paused queues it may be either. Where
            # somebody may try for a permit at once, a ring says so as well.
            due_in = None if await driver.paused() or claimed.due_in == 0 else claimed.due_in
            return Claimed([replace(claim, token=0) for claim in claimed.claims], due_in)

        self.both(claim, other_first=self.follower is not None)
        for ours, theirs in zip(given[self.model], given[self.driver], strict=True):
            assert theirs.token not in self.tokens_of(theirs.id), "no token is ever given twice"
            self.tokens[ours.id, ours.token] = theirs.token
        self.claims += given[self.model]

    def tokens_of(self, id: str) -> set[int]:
        """All tokens that the driver ever gave for a job."""
        return {theirs for (of, _), theirs in self.tokens.items() if of == id}

    def told(self, driver: Driver, changes: list[C]) -> list[C]:
        """What is asked of one of the two, with the tokens that it gave itself."""
        if driver is self.model:
            return changes
        return [replace(c, token=self.tokens[c.id, c.token]) for c in changes]

    @rule(worker=st.sampled_from(WORKERS))
    def claim_all(self, worker: str) -> None:
        self.claim([Source("q"), Source("p")], 4, 30, worker)

    @precondition(lambda self: self.claims)
    @rule(numbers=picks, state=st.sampled_from(ENDS), retention=retentions)
    def settle(self, numbers: list[int], state: State, retention: float) -> None:
        self.end([settlement(claim, state, retention) for claim in self.pick(numbers)])

    def end(self, ends: list[Settlement]) -> None:
        """Settle with both."""

        async def settle(driver: Driver) -> list[object]:
            return list(await driver.settle(self.told(driver, ends)))

        self.both(settle)

    @precondition(lambda self: self.claims)
    @rule(retention=retentions)
    def complete(self, retention: float) -> None:
        self.settle([0], State.COMPLETED, retention)

    @precondition(lambda self: self.claims)
    @rule()
    def fail(self) -> None:
        self.settle([0], State.FAILED, 0)

    @precondition(lambda self: self.claims)
    @rule(state=st.sampled_from([State.PENDING, State.DELAYED]))
    def give_back(self, state: State) -> None:
        self.settle([0], state, 0)

    @precondition(lambda self: self.claims)
    @rule(
        numbers=picks,
        lease=st.sampled_from([1, 10, 30]),
        progress=st.sampled_from([None, 0, 40]),
        message=st.sampled_from([None, "half"]),
    )
    def extend(
        self, numbers: list[int], lease: float, progress: float | None, message: str | None
    ) -> None:
        more = [Extension(c.id, c.token, progress, message) for c in self.pick(numbers)]
        self.both(lambda driver: driver.extend(self.told(driver, more), lease))

    # Wait

    @rule(seconds=st.sampled_from([1, 5, 10, 30, 100]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(lease=st.sampled_from([0, 30]))
    def sweep(self, lease: float) -> None:
        self.clock.advance(lease)
        self.both(lambda driver: driver.sweep())

    @precondition(lambda self: self.claims)
    @rule()
    def a_worker_dies(self) -> None:
        self.sweep(30)
        self.claim_all("w2")

    # Look

    @rule(which=filters, limit=st.integers(0, 3), offset=st.integers(0, 2))
    def find(self, which: Filter, limit: int, offset: int) -> None:
        async def find(driver: Driver) -> list[object]:
            found = await driver.find(which, limit=limit, offset=offset)
            page: list[object] = [seen(job) for job in found.items]
            if found.next is None:
                return page
            rest = await driver.find(which, cursor=found.next)
            return [*page, "and more", *map(seen, rest.items)]

        self.both(find)
        self.both(lambda driver: driver.count(which))

    # Operate

    @rule(verb=st.sampled_from(["cancel", "delete"]), which=st.builds(Filter, some_ids) | filters)
    def remove_many(self, verb: str, which: Filter) -> None:
        if verb == "cancel":
            self.both(lambda driver: driver.cancel(which, 60))
        else:
            self.both(lambda driver: driver.delete(which))

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 2), retention=retentions)
    def cancel_what_was_claimed(self, number: int, retention: float) -> None:
        which = Filter(ids=(self.pick([number])[0].id,))
        self.both(lambda driver: driver.cancel(which, retention))

    @precondition(lambda self: self.any_failed())
    @rule(which=st.just(Filter()) | filters)
    def requeue(self, which: Filter) -> None:
        async def requeue(driver: Driver) -> list[str]:
            return sorted(await driver.requeue(which))

        self.both(requeue)

    @rule(queue=st.sampled_from(["p", "p", "p", "q"]), on=st.sampled_from([False, False, True]))
    def pause(self, queue: str, on: bool) -> None:
        self.both(lambda driver: driver.pause([queue, queue], on))

    # Now and then

    @rule(act=st.sampled_from(["announce", "retire", "prune", "reopen", "second handle"]))
    def keep_house(self, act: str) -> None:
        if act == "announce":
            here = Presence("w1", "host", 1, ["q"], 10, started_at=self.clock.time())
            self.both(lambda driver: driver.announce(here, 60))
        elif act == "retire":
            self.both(lambda driver: driver.retire("w1"))
        elif act == "prune":
            self._prune()
        else:
            self._open_anew(second_handle=act == "second handle")

    def _prune(self) -> None:
        # The number is of no use to compare: what expired may be gone already for other reasons.
        self.run(self.model.prune(50.5))
        self.run(self.driver.prune(50.5))

    def _open_anew(self, *, second_handle: bool) -> None:
        self.run(self.driver.close())
        if second_handle:
            self.driver = self.driver.clone()
        self.run(self.driver.open())

    # Always

    @invariant()
    def everything_looks_the_same(self) -> None:
        self.both(picture)
        if self.follower is not None:
            self.follower.look_who_waits()


def settlement(claim: Claim, state: State, retention: float) -> Settlement:
    """An end of a claim that can be told from others."""
    return Settlement(
        claim.id,
        claim.token,
        state,
        attempts=claim.attempts - (state is State.PENDING),
        exceptions=claim.exceptions + (state is State.DELAYED),
        delay=5,
        result=b"\0result" if state is State.COMPLETED else None,
        error="boom" if state in (State.DELAYED, State.FAILED) else None,
        traceback="Traceback" if state is State.FAILED else None,
        retention=retention,
        latch=claim.latch,
    )


async def picture(driver: Driver) -> dict[str, object]:
    """All that can be seen of a store."""
    workers = sorted(await driver.workers(), key=lambda worker: worker.id)
    paused = await driver.paused()
    counts = {queue: asdict(counted) for queue, counted in (await driver.counts()).items()}
    assert set(paused) <= set(counts)
    return {
        "jobs": await everything(driver, Filter(), "created"),
        "finished": await finished(driver),
        "paused": paused,
        "counts": {queue: told for queue, told in counts.items() if any(told.values())},
        "workers": [replace(worker, running=sorted(worker.running)) for worker in workers],
        "called off": [sorted(await driver.called_off(worker)) for worker in WORKERS],
    }


async def finished(driver: Driver) -> list[tuple[float, str]]:
    """When which job finished. Those who finished at one instant may be shown in any order."""
    found = await driver.find(Filter(states=FINISHED), limit=1000, order="finished")
    told = [(job.finished_at or 0.0, job.id) for job in found.items]
    times = [at for at, _ in told]
    assert times == sorted(times, reverse=True)
    return sorted(told)


async def everything(driver: Driver, which: Filter, order: Order) -> list[dict[str, object]]:
    """All jobs that a driver shows, on one page."""
    return [seen(job) for job in (await driver.find(which, limit=1000, order=order)).items]


def seen(job: StoredJob) -> dict[str, object]:
    """What every driver must show of a job; the rest is shown by some."""
    told = asdict(job)
    for rounded_or_some in ("key", "lease_left"):
        del told[rounded_or_some]
    if job.state is not State.PROCESSING:
        del told["worker"]
    if job.state in (State.PENDING, State.DELAYED):
        del told["started_at"]
    return told
