"""The crash lab finds mistakes that are planted, holds where there is none, and can be replayed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asyncqueue import Context, Job
from asyncqueue.testing import CrashLab, InvariantError, LabRun
from asyncqueue.testing.lab.faults import Fault, Moment

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]


class Ledger:
    """What the jobs did to the world outside."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def write(self, line: str) -> None:
        await asyncio.sleep(0.2)
        self.lines.append(line)
        await asyncio.sleep(0.1)


class LabPay(Job):
    order: int

    async def handle(self, ctx: Context, ledger: Ledger) -> None:
        await ledger.write(f"{self.order}")


class LabPayPlain(Job):
    order: int

    def handle(self, ctx: Context, ledger: Ledger) -> None:
        time.sleep(0.001)
        ledger.lines.append(f"{self.order}")


class LabTidy(Job):
    async def handle(self, ctx: Context, ledger: Ledger) -> None:
        try:
            await ledger.write("begun")
        finally:
            ledger.lines.append("tidied")


class LabNever(Job, max_attempts=1_000_000, backoff=3600):
    async def handle(self, ctx: Context) -> None:
        raise OSError("down")


async def paid_once(run: LabRun) -> None:
    ledger = Ledger()
    async with run.workers(services=[ledger]):
        for order in range(3):
            await run.dispatch(LabPay(order))
    assert sorted(ledger.lines) == ["0", "1", "2"], ledger.lines


async def paid_at_least_once(run: LabRun) -> None:
    ledger = Ledger()
    async with run.workers(services=[ledger]) as queue:
        for order in range(3):
            await run.dispatch(LabPay(order), id=f"pay-{order}")
    assert set(ledger.lines) == {"0", "1", "2"}
    for order in range(3):
        assert (await queue.status(f"pay-{order}")).state == "completed"


async def dispatched_by_somebody_careless(run: LabRun) -> None:
    async with run.workers(services=[Ledger()]) as queue:
        try:
            await queue.dispatch(LabPay(1))
        except Exception:
            await queue.dispatch(LabPay(1))  # under another id
    assert len((await queue.jobs()).items) == 1


async def dispatched_by_somebody_hasty(run: LabRun) -> None:
    ledger = Ledger()
    async with run.workers(services=[ledger]) as queue:
        try:
            await queue.dispatch(LabPay(1))
        except Exception:
            run.note("whatever")
    assert ledger.lines


@pytest.mark.parametrize("kind", ["kill", "freeze", "shutdown", "duplicate", "clock"])
def test_finds_what_runs_twice(kind):
    with pytest.raises(InvariantError) as broken:
        CrashLab(faults=[kind], seeds=60).check(paid_once)
    assert {fault.kind for fault in broken.value.faults} == {kind}
    assert f"Seed {broken.value.seed} breaks paid_once: AssertionError" in str(broken.value)


@pytest.mark.parametrize(
    ("kind", "scenario"),
    [
        ("lost_reply", dispatched_by_somebody_careless),
        ("unavailable", dispatched_by_somebody_hasty),
    ],
)
def test_finds_producers_that_trust_every_reply(kind, scenario):
    with pytest.raises(InvariantError):
        CrashLab(faults=[kind], seeds=40).check(scenario)


def test_holds_where_nothing_is_wrong():
    report = CrashLab(seeds=60).check(paid_at_least_once)
    assert report.runs == 61
    assert len(report.struck) == 7, "not every kind of fault struck"


def test_the_same_seed_is_the_same_run_also_in_another_process():
    with pytest.raises(InvariantError) as broken:
        CrashLab().check(paid_once)
    code = (
        "from tests.testing.test_crash_lab import *\n"
        f"try: CrashLab().replay(paid_once, {broken.value.seed})\n"
        "except InvariantError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert broken.value.journal in done.stdout


def test_as_few_faults_as_break_it_are_shown(monkeypatch):
    fatal = Fault("kill", Moment("settle", 1))
    others = [Fault("unavailable", Moment("dispatch", 1)), Fault("clock", Moment("step", 1), 1.0)]
    monkeypatch.setattr("asyncqueue.testing.lab.lab.draw", lambda *_: [*others, fatal])
    with pytest.raises(InvariantError) as broken:
        CrashLab().replay(paid_once, 1)
    assert broken.value.faults == [fatal]


def test_a_killed_process_does_not_tidy_up():
    async def tidied(run: LabRun) -> None:
        ledger = Ledger()
        async with run.workers(1, services=[ledger]):
            await run.dispatch(LabTidy())
        assert ledger.lines.count("tidied") >= ledger.lines.count("begun")

    with pytest.raises(InvariantError):
        CrashLab(faults=["kill"], seeds=40).check(tidied)


def test_plain_handlers_run_in_threads():
    async def paid(run: LabRun) -> None:
        ledger = Ledger()
        async with run.workers(services=[ledger]):
            for order in range(3):
                await run.dispatch(LabPayPlain(order))
        assert set(ledger.lines) == {"0", "1", "2"}

    CrashLab(seeds=10).check(paid)


def test_a_job_that_never_ends_is_named():
    async def ends(run: LabRun) -> None:
        async with run.workers(1):
            await run.dispatch(LabNever())

    with pytest.raises(InvariantError, match=r"LabNever#1 \(pending\)"):
        CrashLab(limit=30).check(ends)


def test_a_scenario_that_breaks_by_itself_says_so():
    async def broken(run: LabRun) -> None:
        raise RuntimeError("on its own")

    with pytest.raises(InvariantError, match="breaks without any fault: RuntimeError: on its own"):
        CrashLab().check(broken)


async def test_refused_inside_an_event_loop():
    with pytest.raises(RuntimeError, match="plain function"):
        CrashLab().check(paid_once)


@pytest.mark.parametrize("options", [{"faults": ["flood"]}, {"seeds": -1}])
def test_refused_options(options):
    with pytest.raises(ValueError, match="flood|-1"):
        CrashLab(**options)


def test_the_fixture_replays_the_seed_of_the_command_line(pytester):
    pytester.makepyfile(
        """
        def test_it(asyncqueue_lab):
            seeds = []

            async def scenario(run):
                seeds.append(run.seed)

            asyncqueue_lab.check(scenario)
            assert seeds == [0, 7]
        """
    )
    pytester.runpytest_inprocess(
        *("-p", "asyncqueue.testing.plugin"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
        "--asyncqueue-seed=7",
    ).assert_outcomes(passed=1)
