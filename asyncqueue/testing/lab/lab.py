"""Runs a scenario under many seeds, and tells of the first one that breaks it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from asyncqueue.testing.lab.faults import FAULTS, Fault, FaultKind, draw
from asyncqueue.testing.lab.run import run_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.testing.lab.run import LabRun, Scenario


class InvariantError(AssertionError):
    """A scenario raised: under which seed, which faults, and what happened until then."""

    def __init__(self, message: str, seed: int, faults: Sequence[Fault], journal: str) -> None:
        super().__init__(message)
        self.seed = seed
        self.faults = list(faults)
        self.journal = journal


class LabReport(msgspec.Struct, frozen=True):
    """How many runs there were, and which faults struck how often."""

    runs: int
    struck: dict[str, int]

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.struck.items()))
        return f"{self.runs} runs held: {kinds or 'no faults'}"


class CrashLab:
    """Runs your own jobs under faults, on the memory driver and virtual time.

    A scenario is a coroutine function that is given a :class:`LabRun`: it starts workers,
    dispatches jobs, and asserts what must hold afterwards. :meth:`check` runs it once without
    faults, then once for each of ``seeds`` seeds, each of which stands for one to three faults of
    these kinds at moments drawn from those that the run has. The same seed is the same run,
    in any process.

    ``seed`` replays that one only. ``limit`` is how many virtual seconds a run may take.
    ``mixed`` also shuffles what is ready within a worker, which asyncio itself never does.
    """

    def __init__(
        self,
        *,
        faults: Iterable[FaultKind] = FAULTS,
        seeds: int = 200,
        seed: int | None = None,
        limit: float = 4 * 3600.0,
        mixed: bool = False,
    ) -> None:
        self._kinds = frozenset(faults)
        unknown = self._kinds - set(FAULTS)
        if unknown:
            raise ValueError(f"Unknown faults {sorted(unknown)}; there are {', '.join(FAULTS)}")
        if seeds < 0:
            raise ValueError(f"seeds must not be negative, got {seeds!r}")
        self._seeds = seeds
        self._seed = seed
        self._limit = limit
        self._mixed = mixed

    def check(self, scenario: Scenario) -> LabReport:
        """Run it without faults and under every seed.

        Raises :class:`InvariantError` at the first seed under which the scenario raises.
        """
        __tracebackhide__ = True
        _refuse_running_loop()
        if self._seed is not None:
            return self.replay(scenario, self._seed)
        moments = self._without_faults(scenario)
        struck: Counter[str] = Counter()
        for seed in range(1, self._seeds + 1):
            struck.update(self._under(scenario, seed, moments))
        return LabReport(self._seeds + 1, dict(struck))

    def replay(self, scenario: Scenario, seed: int) -> LabReport:
        """Run it under one seed, as :meth:`check` does; 0 is without faults."""
        __tracebackhide__ = True
        _refuse_running_loop()
        moments = self._without_faults(scenario)
        struck = Counter(self._under(scenario, seed, moments) if seed else ())
        return LabReport(1, dict(struck))

    def _without_faults(self, scenario: Scenario) -> Counter[str]:
        __tracebackhide__ = True
        run, error = self._run(scenario, 0, ())
        if error is not None:
            raise _broken(scenario, run, error, ()) from error
        return run.striking.moments

    def _under(self, scenario: Scenario, seed: int, moments: Counter[str]) -> list[str]:
        __tracebackhide__ = True
        rng = random.Random(f"{seed}/faults")  # noqa: S311 - to be repeated
        faults = draw(rng, self._kinds, moments)
        run, error = self._run(scenario, seed, faults)
        if error is not None:
            run, error, faults = self._fewer(scenario, run, error)
            raise _broken(scenario, run, error, faults) from error
        return [fault.kind for fault in run.striking.struck]

    def _fewer(
        self, scenario: Scenario, run: LabRun, error: BaseException
    ) -> tuple[LabRun, BaseException, list[Fault]]:
        """The same with as few of the faults that struck as break it, too."""
        struck = run.striking.struck
        for count in range(1, len(struck)):
            for some in itertools.combinations(struck, count):
                smaller, other = self._run(scenario, run.seed, some)
                if other is not None and type(other) is type(error):
                    return smaller, other, list(some)
        return run, error, struck

    def _run(
        self, scenario: Scenario, seed: int, faults: Sequence[Fault]
    ) -> tuple[LabRun, BaseException | None]:
        return run_once(scenario, seed, faults, limit=self._limit, mixed=self._mixed)


def _broken(
    scenario: Scenario, run: LabRun, error: BaseException, faults: Sequence[Fault]
) -> InvariantError:
    name = getattr(scenario, "__name__", repr(scenario))
    text = str(error).strip() or repr(error)
    if run.seed:
        what = "; ".join(map(str, faults)) or "no fault struck"
        first = f"Seed {run.seed} breaks {name}: {type(error).__name__}: {text}\nFault: {what}"
        last = f"Replay it: lab.replay({name}, {run.seed}), or pytest --asyncqueue-seed={run.seed}"
    else:
        first = f"{name} breaks without any fault: {type(error).__name__}: {text}"
        last = "Repair that first."
    journal = str(run.journal)
    message = f"{first}\nWhat happened (virtual seconds, who, what):\n{journal}\n{last}"
    return InvariantError(message, run.seed, faults, journal)


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "A crash lab has event loops of its own: call it from a plain function, not a coroutine."
    )
