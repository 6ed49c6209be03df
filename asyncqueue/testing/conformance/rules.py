"""What all groups of rules share: how a driver comes and goes, and short words for common acts."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final, TypeVar

import pytest
import pytest_asyncio

from asyncqueue.drivers.base import Driver
from asyncqueue.record import (
    MAX_PRIORITY,
    MIN_PRIORITY,
    Claim,
    Filter,
    Latch,
    Limited,
    On,
    Record,
    Settlement,
    Source,
    State,
    StoredJob,
)
from asyncqueue.testing.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

LEASE: Final = 30.0
Q: Final = Source("q")
REAL_SECONDS: Final = 5.0
"""How long a rule waits, in real time, for what has to happen soon."""

Test = TypeVar("Test", bound="Callable[..., object]")


def needs(*verbs: str) -> Callable[[Test], Test]:
    """Skip a rule where the driver does not offer these verbs."""

    def mark(test: Test) -> Test:
        setattr(test, "needs", verbs)  # noqa: B010 - functions take attributes, checkers do not know
        return test

    return mark


def proves(*cases: str) -> Callable[[Test], Test]:
    """Note which cases of ``docs/reference/behaviour.md`` a rule proves.

    An attribute, for a marker would have to be registered by everybody who runs the suite.
    """

    def mark(test: Test) -> Test:
        setattr(test, "cases", cases)  # noqa: B010 - as above
        return test

    return mark


class Rules:
    """The driver under test and a second handle on the same store, as fixtures."""

    pytestmark = pytest.mark.asyncio

    def make_driver(self, clock: Clock) -> Driver:
        """A driver on an empty store that takes the time from ``clock``. Override this."""
        raise NotImplementedError("Override make_driver(self, clock) and return your driver.")

    def second_handle(self, driver: Driver) -> Driver:
        """Another, unopened handle on the store of ``driver``."""
        return driver.clone()

    async def dispose(self, driver: Driver) -> None:
        """Clean up after a test: close the driver; remove what it stored elsewhere."""
        await driver.close()

    @pytest.fixture
    def clock(self) -> Clock:
        """The time, moved by hand."""
        return Clock()

    @pytest_asyncio.fixture
    async def driver(self, clock: Clock, request: pytest.FixtureRequest) -> AsyncGenerator[Driver]:
        """An open driver; whatever it leaves behind when it is closed is an error."""
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        driver = self.make_driver(clock)
        _skip_unless_offered(driver, getattr(request.function, "needs", ()))
        await driver.open()
        yield driver
        watches = len(getattr(driver, "watches", ()))
        await self.dispose(driver)
        assert watches == 0, "a watch was left open"
        _assert_nothing_runs_on(tasks, threads)

    @pytest_asyncio.fixture
    async def other(self, driver: Driver) -> AsyncGenerator[Driver]:
        """A second open handle on the same store."""
        _skip_unless_offered(driver, ("clone",))
        other = self.second_handle(driver)
        await other.open()
        yield other
        await other.close()


def _skip_unless_offered(driver: Driver, verbs: tuple[str, ...]) -> None:
    for verb in verbs:
        if getattr(type(driver), verb) is getattr(Driver, verb):
            pytest.skip(f"The {driver.name} driver does not offer {verb}().")


def _assert_nothing_runs_on(
    tasks: set[asyncio.Task[object]], threads: set[threading.Thread]
) -> None:
    left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
    assert not left, f"tasks were left running: {left}"
    # Threads of the loop's own pool are the loop's to end.
    started = set(threading.enumerate()) - threads
    ours = [thread for thread in started if not thread.name.startswith("asyncio_")]
    for thread in ours:
        thread.join(REAL_SECONDS)
    assert not any(thread.is_alive() for thread in ours), f"threads were left running: {ours}"


def record(  # noqa: PLR0913 - as many as a record has
    id: str,
    queue: str = "q",
    *,
    name: str = "Kind",
    payload: bytes = b"payload",
    priority: int = 1,
    delay: float = 0.0,
    max_attempts: int | None = None,
    key: str | None = None,
    key_ttl: float | None = None,
    key_until_claimed: bool = False,
    latch: str | None = None,
    held: On | None = None,
    guards: bool = False,
    limits: Sequence[Limited] = (),
    fair: str | None = None,
) -> Record:
    """A record with nothing special about it but what is given."""
    return Record(
        id=id,
        queue=queue,
        name=name,
        payload=payload,
        priority=priority,
        delay=delay,
        max_attempts=max_attempts,
        key=key,
        key_ttl=key_ttl,
        key_until_claimed=key_until_claimed,
        latch=latch,
        held=held,
        guards=guards,
        limits=tuple(limits),
        fair=fair,
    )


def records(*ids: str, queue: str = "q") -> list[Record]:
    """Plain records."""
    return [record(id, queue) for id in ids]


def lane(queue: str, low: int = MIN_PRIORITY, high: int = MAX_PRIORITY) -> Source:
    """A queue, or a part of it."""
    return Source(queue, low, high)


async def claim(
    driver: Driver, *sources: Source, limit: int = 100, lease: float = LEASE, worker: str = "w1"
) -> list[Claim]:
    """Claim from queue ``q``, or from the given sources."""
    return (await driver.claim(sources or (Q,), limit, lease, worker)).claims


async def claim_one(driver: Driver, *sources: Source, worker: str = "w1") -> Claim:
    """Claim exactly one job, which must be there."""
    (only,) = await claim(driver, *sources, limit=1, worker=worker)
    return only


async def enqueue_and_claim(driver: Driver, id: str = "a", queue: str = "q") -> Claim:
    """A job that is being processed by ``w1``."""
    assert await driver.enqueue([record(id, queue)]) == [None]
    return await claim_one(driver, Source(queue))


def settlement(  # noqa: PLR0913 - as many as a settlement has
    claim: Claim,
    state: State,
    *,
    attempts: int | None = None,
    exceptions: int = 0,
    delay: float = 0.0,
    result: bytes | None = None,
    error: str | None = None,
    traceback: str | None = None,
    retention: float = 3600.0,
    attempt: bytes | None = None,
    follow_ups: Sequence[Record] = (),
    latches: Sequence[Latch] = (),
) -> Settlement:
    """How a claim ends; its attempts are kept unless others are given."""
    return Settlement(
        id=claim.id,
        token=claim.token,
        state=state,
        attempts=claim.attempts if attempts is None else attempts,
        exceptions=exceptions,
        delay=delay,
        result=result,
        error=error,
        traceback=traceback,
        retention=retention,
        attempt=attempt,
        latch=claim.latch,
        follow_ups=list(follow_ups),
        latches=list(latches),
    )


async def end(driver: Driver, claim: Claim, state: State, *, retention: float = 3600.0) -> None:
    """Settle a claim that must still be held."""
    assert await driver.settle([settlement(claim, state, retention=retention)]) == [True]


async def run_to(driver: Driver, id: str, state: State, queue: str = "q") -> None:
    """A job that ended in this state."""
    await end(driver, await enqueue_and_claim(driver, id, queue), state)


async def look(driver: Driver, id: str) -> StoredJob | None:
    """The job of this id, if the store shows it."""
    items = (await driver.find(Filter(ids=(id,)))).items
    return items[0] if items else None


async def state_of(driver: Driver, id: str) -> State | None:
    """The state of a job, None if the store does not show it."""
    job = await look(driver, id)
    return None if job is None else job.state


def instant(time: float) -> object:
    """What equals this instant, as near as stores write them down.

    Not ``approx`` alone: a millionth of the time since 1970 is half an hour.
    """
    return pytest.approx(time, abs=0.01)


def assert_fifo(driver: Driver, got: Sequence[str], expected: Sequence[str]) -> None:
    """Jobs of equal priority come in this order; from a driver that says it is not FIFO, in any."""
    if driver.fifo:
        assert list(got) == list(expected)
    else:
        assert sorted(got) == sorted(expected)


def ids(jobs: list[Claim] | list[StoredJob]) -> list[str]:
    """Which jobs, in this order."""
    return [job.id for job in jobs]
