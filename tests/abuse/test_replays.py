"""Bytes that somebody captured come again, at each stage of their job: they run no second time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from asyncqueue import Context, Job, Settings, State
from asyncqueue.record import Filter, Record, Source
from asyncqueue.testing import drain

from ..recorder import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue import Queue, Worker
    from asyncqueue.testing import Clock

KEYS: dict[str, Any] = {
    "signing_keys": [b"a key for signatures"],
    "encryption_keys": [b"\x05" * 32],
}
"""Bytes that nobody has altered are genuine, whoever brings them."""
RETENTION = 60.0
LEASE = 30.0
effects: list[str] = []
gates: list[asyncio.Event] = []


class ReplayedPay(Job, max_attempts=1, retention=RETENTION):
    """Has an effect, and may fail after it, or wait until it is let go on."""

    how: str = ""

    async def handle(self, ctx: Context) -> str:
        effects.append(ctx.job_id)
        if self.how == "waits":
            gates.append(asyncio.Event())
            await gates[-1].wait()
        if self.how == "fails":
            raise ValueError("no money")
        return "paid"


class ReplayedOnce(ReplayedPay, unique=lambda job: "one", retention=RETENTION):
    """The same under a key, which is free again when it has run."""


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    effects.clear()
    gates.clear()


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    settings = Settings(retention=RETENTION, failed_retention=RETENTION)
    return make_queue(settings=settings, **KEYS)


async def captured(queue: Queue, id: str) -> Record:
    """What is stored of a job, as whoever can read the store sees it."""
    (stored,) = (await queue.driver.find(Filter(ids=(id,)))).items
    return Record(id, stored.queue, stored.name, stored.payload, key=stored.key)


def forms(record: Record) -> list[Record]:
    """As it was, and with everything changed that no signature covers."""
    changes: list[dict[str, Any]] = [
        {},
        {"key": None},
        {"key": f"{record.name}:another", "max_attempts": 99, "priority": 10},
        {"delay": 5.0},
        {"queue": "elsewhere"},
    ]
    return [msgspec.structs.replace(record, **change) for change in changes]


async def push(queue: Queue, record: Record) -> None:
    """Push each form of it, alone and together: nothing is stored."""
    for form in forms(record):
        assert await queue.driver.enqueue([form]) == [record.id]
    answers = await queue.driver.enqueue(forms(record))
    assert answers == [record.id] * len(answers)


async def push_through(queue: Queue, id: str) -> None:
    """Through the front door, with the id that it had."""
    handle = await queue.dispatch(ReplayedPay("through the front door"), id=id)
    assert (handle.id, handle.duplicate) == (id, True)


async def waiting(queue: Queue, clock: Clock) -> str:
    return (await queue.dispatch(ReplayedOnce())).id


async def delayed(queue: Queue, clock: Clock) -> str:
    return (await queue.dispatch(ReplayedOnce(), delay=10)).id


async def crashed(queue: Queue, clock: Clock) -> str:
    """Its worker died, and it waits once more."""
    handle = await queue.dispatch(ReplayedOnce(), max_attempts=5)
    (claim,) = (await queue.driver.claim([Source("default")], 1, LEASE, "w")).claims
    assert claim.id == handle.id
    clock.advance(LEASE + 1)
    assert await queue.driver.sweep() == 1
    return handle.id


async def completed(queue: Queue, clock: Clock) -> str:
    handle = await queue.dispatch(ReplayedOnce())
    assert (await drain(queue)).completed == 1
    return handle.id


async def failed(queue: Queue, clock: Clock) -> str:
    handle = await queue.dispatch(ReplayedOnce("fails"))
    assert (await drain(queue)).failed == 1
    return handle.id


async def cancelled(queue: Queue, clock: Clock) -> str:
    handle = await queue.dispatch(ReplayedOnce())
    assert await handle.cancel()
    return handle.id


STAGES: dict[str, tuple[Callable[[Queue, Clock], Awaitable[str]], State, State, int]] = {
    "waiting": (waiting, State.PENDING, State.COMPLETED, 1),
    "delayed": (delayed, State.DELAYED, State.COMPLETED, 1),
    "crashed": (crashed, State.PENDING, State.COMPLETED, 1),
    "completed": (completed, State.COMPLETED, State.COMPLETED, 1),
    "failed": (failed, State.FAILED, State.FAILED, 1),
    "cancelled": (cancelled, State.CANCELLED, State.CANCELLED, 0),
}
"""How a job gets there, its state then and in the end, and the effects that it has in all."""


@pytest.mark.parametrize("stage", STAGES)
async def test_pushed_again_while_it_is_known(stage: str, queue: Queue, clock: Clock) -> None:
    """Nothing changes: its state, its place, its key, or what becomes of it."""
    await queue.ready()
    reach, before, after, count = STAGES[stage]
    id = await reach(queue, clock)
    record = await captured(queue, id)
    assert (await queue.status(id)).state is before
    shown = await queue.driver.find(Filter())
    await push(queue, record)
    await push_through(queue, id)
    assert await queue.driver.find(Filter()) == shown
    await drain(queue)
    clock.advance(10)
    await drain(queue)
    await push(queue, record)
    assert not (await drain(queue)).attempts
    assert effects == [id] * count
    assert (await queue.status(id)).state is after
    assert [job.id for job in (await queue.jobs()).items] == [id]
    assert await queue.size("elsewhere") == 0
    assert not (await queue.dispatch(ReplayedOnce())).duplicate, "its key is not free"


async def test_pushed_again_while_it_runs(queue: Queue, make_worker: Callable[..., Worker]) -> None:
    """Nobody else gets it, and who runs it does not lose it."""
    async with make_worker(["default", "elsewhere"], on=queue):
        handle = await queue.dispatch(ReplayedOnce("waits"))
        async with asyncio.timeout(PATIENCE):
            while not gates:
                await asyncio.sleep(0.002)
        record = await captured(queue, handle.id)
        await push(queue, record)
        await push_through(queue, handle.id)
        bystander = await queue.dispatch(ReplayedPay())
        assert await bystander.result(PATIENCE) == "paid"
        gates[0].set()
        assert await handle.result(PATIENCE) == "paid"
        await push(queue, record)
    assert not (await drain(queue)).attempts
    assert sorted(effects) == sorted([handle.id, bystander.id])
    assert (await handle.status()).attempts == 1


@pytest.mark.parametrize(
    ("stage", "swept"),
    [
        ("completed", True),
        pytest.param("completed", False, marks=pytest.mark.faults),
        pytest.param("failed", True, marks=pytest.mark.faults),
        pytest.param("failed", False, marks=pytest.mark.faults),
        pytest.param("cancelled", True, marks=pytest.mark.faults),
        pytest.param("cancelled", False, marks=pytest.mark.faults),
    ],
)
async def test_pushed_again_when_its_record_is_gone(
    stage: str, swept: bool, queue: Queue, clock: Clock
) -> None:
    """The limit that is documented: an id is known as long as its record is kept, no longer."""
    await queue.ready()
    reach, _, _, count = STAGES[stage]
    id = await reach(queue, clock)
    record = await captured(queue, id)
    clock.advance(RETENTION - 1)
    if swept:
        assert await queue.driver.prune(RETENTION) == 0
    await push(queue, record)
    assert not (await drain(queue)).attempts
    assert len(effects) == count
    clock.advance(2)
    if swept:
        assert await queue.driver.prune(RETENTION) == 1
    if stage == "failed" and not swept:
        # Failed records go when somebody prunes, not by themselves: nothing is forgotten.
        await push(queue, record)
        return
    assert await queue.driver.enqueue([record]) == [None]
    assert len((await drain(queue)).attempts) == 1
    assert effects[count:] == [id]
    await push(queue, record)
    assert not (await drain(queue)).attempts


async def test_what_is_not_kept_is_not_known(queue: Queue) -> None:
    """Without a retention the id of a completed job is free at once, as is said."""

    class ReplayedAtOnce(ReplayedPay, retention=0, replace=True):
        pass

    handle = await queue.dispatch(ReplayedAtOnce())
    record = await captured(queue, handle.id)
    assert (await drain(queue)).completed == 1
    assert await queue.driver.enqueue([record]) == [None]
    assert (await drain(queue)).completed == 1
    assert effects == [handle.id] * 2
