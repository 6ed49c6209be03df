"""On virtual time: batches that grow and are cancelled, chains that are changed and fail."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, DriverError, Job
from asyncqueue.testing import CrashLab, LabRun

from .checks import History, check_run

if TYPE_CHECKING:
    from collections.abc import Awaitable

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "20"))
SEED = os.environ.get("SIMULATION_SEED")
MANY = int(os.environ.get("SIMULATION_SEEDS", "300"))


class Tale(list[str]):
    """What was done, in order, whoever did it."""

    def first(self, what: str) -> int:
        return self.index(what)

    def last(self, what: str) -> int:
        return len(self) - 1 - self[::-1].index(what)


class SimLink(Job, max_attempts=50):
    what: str
    seconds: float = 0.1
    good: bool = True

    async def handle(self, ctx: Context, tale: Tale) -> None:
        await asyncio.sleep(self.seconds)
        tale.append(self.what)
        if not self.good:
            raise OSError(self.what)

    def should_retry(self, error: Exception) -> bool:
        return isinstance(error, DriverError)


class SimHooked(SimLink):
    async def failed(self, ctx: Context, error: BaseException) -> None:
        ctx.get(Tale).append(f"hook of {self.what} begins")
        await asyncio.sleep(self.seconds)
        ctx.get(Tale).append(f"hook of {self.what}")


class SimGrows(SimLink):
    async def handle(self, ctx: Context, tale: Tale) -> None:
        await ctx.add_to_batch(SimAdded("added"))
        await super().handle(ctx, tale)


class SimAdded(SimLink): ...


class SimInserts(SimLink):
    async def handle(self, ctx: Context, tale: Tale) -> None:
        ctx.chain_prepend(SimLink("inserted"))
        await super().handle(ctx, tale)


class SimCaught(SimLink): ...


class SimDone(SimLink): ...


class SimAtTheEnd(SimLink): ...


async def tried(run: LabRun, call: Awaitable[object]) -> None:
    """Do it; where a fault lets it fail it may have happened, or not."""
    try:
        await call
    except DriverError as error:
        run.note(f"in doubt: {error}")


async def a_batch_that_grows_and_is_cancelled(run: LabRun) -> None:
    tale, rng = Tale(), run.rng
    async with run.workers(rng.randint(1, 3), services=[tale], concurrency=2) as queue:
        members = [SimLink(f"member {n}", rng.uniform(0, 2)) for n in range(rng.randint(1, 5))]
        batch = queue.batch(SimGrows("grows", rng.uniform(0, 1)), *members)
        batch.then(SimDone("then")).catch(SimCaught("catch")).finally_(SimAtTheEnd("finally"))
        await tried(run, batch.dispatch())
        await asyncio.sleep(rng.uniform(0, 3))
        if rng.choice((False, True)) and await queue.find_batch(batch.id):
            await tried(run, queue.cancel_batch(batch.id))
    info = await queue.find_batch(batch.id)
    history = History(run)
    kinds = history.kinds()
    if info is not None:
        assert info.finished
        assert info.completed + info.skipped == info.total
        assert info.total >= len(members) + 1 + (info.completed == info.total)
        assert kinds["SimDone"] == (info.completed == info.total)
        assert kinds["SimAtTheEnd"] == 1
        assert not kinds["SimCaught"]
        end = tale.first("finally")
        late = {what for what in tale[end:] if "member" in what} - set(tale[:end])
        # What is skipped for a worker that sleeps may still run when that wakes up.
        assert not late or history.struck & {"freeze", "duplicate", "clock"}, late
    await check_run(run, Counter(), all_settled=False)


async def a_chain_that_is_changed_and_fails(run: LabRun) -> None:
    tale, rng = Tale(), run.rng
    bad = rng.choice((None, 1, 3))
    async with run.workers(rng.randint(1, 3), services=[tale], concurrency=2) as queue:
        links = [
            SimInserts("0", rng.uniform(0, 1)),
            SimHooked("1", rng.uniform(0, 1), good=bad != 1),
            queue.batch(SimLink("2a"), SimLink("2b", rng.uniform(0, 2))).finally_(SimDone("end")),
            SimHooked("3", good=bad != 3),
        ]
        await tried(run, queue.chain(*links).catch(SimCaught("caught")).dispatch())
    kinds = History(run).kinds()
    if tale:
        order = ["0", "inserted", "1", "2a", "3"]
        reached = order[: {None: 5, 1: 3, 3: 5}[bad]]
        assert [what for what in order if what in tale] == reached
        for before, after in itertools.pairwise(reached):
            assert tale.first(before) < tale.first(after)
        if "3" in tale:
            assert tale.first("2b") < tale.first("3")
        assert kinds["SimDone"] == ("2a" in tale)
        assert kinds["SimCaught"] == (bad is not None)
        assert kinds["SimLink"] == (3 if bad != 1 else 1)
        if bad is not None:
            assert tale.first(str(bad)) < tale.first("caught")
            if f"hook of {bad}" in tale:
                assert tale.last(f"hook of {bad}") < tale.first("caught")
    await check_run(run, Counter(), all_settled=False)


SCENARIOS = [a_batch_that_grows_and_is_cancelled, a_chain_that_is_changed_and_fails]


@pytest.mark.parametrize("mixed", [False, True], ids=["in-order", "mixed"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_simulation(scenario, mixed):
    lab = CrashLab(seeds=SEEDS, seed=None if SEED is None else int(SEED), mixed=mixed)
    print(lab.check(scenario))


@pytest.mark.faults
@pytest.mark.parametrize("mixed", [False, True], ids=["in-order", "mixed"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_long_simulation(scenario, mixed):
    print(CrashLab(seeds=MANY, mixed=mixed).check(scenario))
