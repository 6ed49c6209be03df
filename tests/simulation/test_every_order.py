"""Every order of what may end an attempt: its own end, its timeout, a stop, a lost lease."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, Job
from asyncqueue.testing.lab.run import run_once

from .checks import check_run

if TYPE_CHECKING:
    from asyncqueue.testing import LabRun

START = 1.0
TICK = 0.05
FIRST = re.compile(r"settled SimRace#1 as (\w+)")


class Sleeps(list):
    """How long the first bodies take."""


class SimRace(Job, max_attempts=3, backoff=0.5):
    async def handle(self, ctx: Context, sleeps: Sleeps) -> None:
        await asyncio.sleep(sleeps.pop(0) if sleeps else 0.1)


def race(finish: int, timeout: int, stop: int, lease: int):
    async def scenario(run: LabRun) -> None:
        loop = asyncio.get_running_loop()
        sleeps = Sleeps([START + finish * TICK])
        async with run.workers(1, services=[sleeps]) as queue:
            await queue.dispatch(SimRace(), id="race", timeout=START + timeout * TICK)
            (victim,) = run.striking.victims.values()
            loop.call_later(START + stop * TICK, victim.shut_down)
            loop.call_later(START + lease * TICK, run.striking._duplicate, victim)
        status = await queue.status("race")
        assert status.state == "completed"
        accepted = Counter(FIRST.findall(str(run.journal)))
        # Never both and never neither: a timeout counts an attempt, a stop gives it back, and a
        # lease that was lost leaves it counted.
        lost = int("swept: 1 come back" in str(run.journal))
        assert accepted["completed"] == 1
        assert accepted["delayed"] + accepted["pending"] + lost <= 2
        assert status.attempts == 1 + accepted["delayed"] + lost
        await check_run(run, Counter())

    return scenario


@pytest.mark.parametrize("finish", range(3))
def test_every_order(finish):
    for timeout, stop, lease in itertools.product(range(3), repeat=3):
        run, error = run_once(race(finish, timeout, stop, lease), 0, (), limit=600, mixed=False)
        assert error is None, (
            f"timeout {timeout}, stop {stop}, lease {lease}: {error}\n{run.journal}"
        )
