"""The real worker on virtual time, with faults and interleavings drawn from seeds.

A failing seed is the bug report: ``SIMULATION_SEED=17 pytest tests/simulation`` replays it.
``SIMULATION_SEEDS=10000`` looks longer.
"""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from asyncqueue.record import Filter
from asyncqueue.testing import CrashLab, LabRun

from .catalogue import (
    COMPLETE,
    FAIL,
    MAY_NOT_FINISH,
    SimCatch,
    SimFails,
    SimFinally,
    SimGood,
    SimPlain,
    SimSnoozes,
    SimThen,
    SimTrips,
    World,
)
from .checks import History, check_run

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "50"))
SEED = os.environ.get("SIMULATION_SEED")
LIMIT = 600.0
"""Virtual seconds after which a run counts as stuck; the longest takes a tenth of that."""
MANY = int(os.environ.get("SIMULATION_SEEDS", "300"))


async def jobs_of_every_manner(run: LabRun) -> None:
    """I1 to I4, I7, I9: each job ends as its manner says, whatever strikes."""
    world, rng = World(run), run.rng
    kinds = [rng.choice(COMPLETE + FAIL) for _ in range(rng.randint(3, 9))]
    slots, prefetch = rng.randint(1, 3), rng.choice((0, 0, 2))
    async with run.workers(
        rng.randint(1, 3), services=[world], concurrency=slots, prefetch=prefetch
    ) as queue:
        for number, kind in enumerate(kinds):
            await run.dispatch(kind(rng.uniform(0.0, 3.0)), id=f"job-{number}")
        await run.dispatch(SimSnoozes(0.1, 3.0), id="snoozes")
    for number, kind in enumerate(kinds):
        status = await queue.status(f"job-{number}")
        wanted = "completed" if kind in COMPLETE else "failed"
        assert status.state == wanted, f"{kind.__name__} is {status.state}: {status.error}"
        if kind in COMPLETE and kind not in MAY_NOT_FINISH:
            assert world.finished[f"job-{number}"], f"{kind.__name__} never ran to its end"
    history = History(run)
    if not history.struck & {"freeze", "duplicate", "clock", "lost_reply"}:
        assert world.most_at_once <= 2
    await check_run(run, world.finished)


async def batches_and_chains(run: LabRun) -> None:
    """I5: callbacks once each, none too early, and every link in its turn."""
    world, rng = World(run), run.rng
    fails = rng.choice((False, True))
    last = SimFails if fails else SimGood
    async with run.workers(rng.randint(1, 3), services=[world], concurrency=2) as queue:
        members = [SimGood(rng.uniform(0, 2)), SimGood(rng.uniform(0, 2)), last(0.3)]
        batch = queue.batch(*members).then(SimThen()).catch(SimCatch()).finally_(SimFinally())
        if rng.choice((False, True)):
            batch.allow_failures()
        try:
            await batch.dispatch()
        except Exception as error:
            run.note(f"the batch is in doubt: {error}")
        try:
            await queue.chain(SimGood(0.1), SimGood(0.2), SimGood(0.1)).dispatch()
        except Exception as error:
            run.note(f"the chain is in doubt: {error}")
    kinds = History(run).kinds()
    info = await queue.find_batch(batch.id)
    if info is not None:
        assert info.finished
        assert info.completed + info.failed + info.skipped == info.total == 3
        assert kinds["SimFinally"] == 1
        assert kinds["SimThen"] == (not info.failed)
        assert kinds["SimCatch"] == bool(info.failed)
        assert bool(info.failed) == fails
    await check_run(run, world.finished)


async def cancelled_by_operators(run: LabRun) -> None:
    """X4: waiting, running, finishing or back from a crash, a job ends once: done or cancelled."""
    world, rng = World(run), run.rng
    kinds = [rng.choice((SimGood, SimTrips, SimPlain)) for _ in range(6)]

    async def cancel(job_id: str, later: float) -> None:
        await asyncio.sleep(later)
        await run.base.cancel(Filter(ids=(job_id,)), 3600.0)

    async with run.workers(rng.randint(1, 2), services=[world], concurrency=2) as queue:
        for number, kind in enumerate(kinds):
            await run.dispatch(kind(rng.uniform(0.0, 2.0)), id=f"job-{number}")
        ids = [f"job-{rng.randrange(len(kinds))}" for _ in range(4)]
        await asyncio.gather(*(cancel(job_id, rng.uniform(0.0, 4.0)) for job_id in ids))
    history = History(run)
    for number in range(len(kinds)):
        status, name = await queue.status(f"job-{number}"), run.journal.named(f"job-{number}")
        assert status.state in ("completed", "cancelled")
        completions = len(re.findall(rf"settled {name} as completed\n", history.text + "\n"))
        assert completions == (status.state == "completed"), f"{name} completed {completions} times"
        if f"job-{number}" not in ids:
            assert status.state == "completed"
    assert "CRITICAL" not in history.text
    assert "UNHANDLED" not in history.text


SCENARIOS = [jobs_of_every_manner, batches_and_chains, cancelled_by_operators]


@pytest.mark.parametrize("mixed", [False, True], ids=["in-order", "mixed"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_simulation(scenario, mixed):
    seed = None if SEED is None else int(SEED)
    lab = CrashLab(seeds=SEEDS, seed=seed, limit=LIMIT, mixed=mixed)
    print(lab.check(scenario))


@pytest.mark.faults
@pytest.mark.parametrize("mixed", [False, True], ids=["in-order", "mixed"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_long_simulation(scenario, mixed):
    print(CrashLab(seeds=MANY, limit=LIMIT, mixed=mixed).check(scenario))
