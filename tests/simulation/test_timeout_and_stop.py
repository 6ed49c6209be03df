"""S8: a timeout and a stop within 10 ms of each other, in either order, on virtual time.

A job that both want to end is counted as timed out, or handed back with its attempt: exactly one of
the two, never both and never neither, and the one that came first.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, Job, JobTimeout, fixed
from asyncqueue.testing.lab.run import run_once

from .checks import check_run

if TYPE_CHECKING:
    from asyncqueue.testing import LabRun

ABOUT = 1.0
"""Seconds after the start of the jobs when both happen."""
APART = 0.01
"""Seconds between the two, at most."""
AT_ONCE = 20
SETTLED = re.compile(r"settled (SimTorn#\d+) as (\w+)$")
TOLD = re.compile(r"SimTorn (SimTorn#\d+) on \S+ \(attempt 1/\d\) failed.*JobTimeout")
MANNERS = ("heeds", "tidies", "raises", "returns")


class Torn:
    """What happened in the first attempts."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.causes: dict[str, str | None] = {}
        self.hooks: Counter[str] = Counter()


class SimTorn(Job, backoff=fixed(0.1)):
    manner: str
    tidying: float

    async def handle(self, ctx: Context, torn: Torn) -> None:
        if ctx.job_id in torn.causes:
            return
        torn.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            torn.causes[ctx.job_id] = ctx.cause
            if self.manner == "tidies":
                await asyncio.sleep(self.tidying)
            if self.manner == "raises":
                raise OSError("while it was cancelled") from None
            if self.manner != "returns":
                raise

    async def failed(self, ctx: Context, error: BaseException) -> None:
        assert isinstance(error, JobTimeout)
        ctx.get(Torn).hooks[ctx.job_id] += 1


def expected(first: str, manner: str, attempts: int) -> str:
    """The state that the first attempt is settled in."""
    if first == "timeout":
        return "delayed" if attempts > 1 else "failed"
    return "completed" if manner == "returns" else "pending"


def torn_jobs(split: Counter[str]):
    async def scenario(run: LabRun) -> None:
        rng, torn = run.rng, Torn()
        drawn = [
            (rng.choice(("timeout", "stop")), rng.choice(MANNERS), rng.choice((1, 3)))
            for _ in range(AT_ONCE)
        ]
        async with run.workers(1, services=[torn], concurrency=AT_ONCE) as queue:
            await queue.pause("default")  # So that all are claimed in one call.
            for n, (first, manner, attempts) in enumerate(drawn):
                apart = rng.uniform(1e-6, APART)
                await queue.dispatch(
                    SimTorn(manner, rng.uniform(0, 2 * APART)),
                    id=f"torn-{n:02}",
                    timeout=ABOUT - apart if first == "timeout" else ABOUT + apart,
                    max_attempts=attempts,
                )
            await queue.resume("default")
            await torn.begun.wait()
            (victim,) = run.striking.victims.values()
            asyncio.get_running_loop().call_later(ABOUT, victim.shut_down)
        settled: dict[str, list[str]] = {}
        for line in run.journal.lines:
            if found := SETTLED.search(line):
                settled.setdefault(found[1], []).append(found[2])
        told = Counter(TOLD.findall(str(run.journal)))
        for n, (first, manner, attempts) in enumerate(drawn):
            name, timed_out = run.journal.named(f"torn-{n:02}"), first == "timeout"
            states, status = settled[name], await queue.status(f"torn-{n:02}")
            want = expected(first, manner, attempts)
            assert torn.causes[f"torn-{n:02}"] == ("timeout" if timed_out else "shutdown"), name
            assert states[0] == want, f"{name} {manner}, {first} first: {states}"
            # A claim that was under way may bring it once more to the worker that stops.
            later = [state for state in states[1:] if state != "pending"]
            assert later == ([] if want in ("failed", "completed") else ["completed"]), name
            # A timeout counts an attempt, is told once, and calls the hook of a last attempt once;
            # a stop does none of these.
            assert status.attempts == 1 + (want == "delayed"), name
            assert told[name] == timed_out, name
            assert torn.hooks[f"torn-{n:02}"] == (want == "failed"), name
            split[f"{first} first: {want}"] += 1
        await check_run(run, Counter())

    return scenario


def torn(runs: int) -> Counter[str]:
    split: Counter[str] = Counter()
    for seed in range(runs):
        run, error = run_once(torn_jobs(split), seed, (), limit=600, mixed=bool(seed % 2))
        assert error is None, f"seed {seed}: {error!r}\n{run.journal}"
    assert split.total() == runs * AT_ONCE
    return split


def test_either_counts_and_never_both():
    assert len(torn(5)) == 4


@pytest.mark.faults
def test_two_thousand_times():
    split = torn(100)
    assert split.total() == 2_000
    print(dict(sorted(split.items())))
