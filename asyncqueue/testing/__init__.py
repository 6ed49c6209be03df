"""What tests need: a fake queue, jobs run by hand, a clock, a crash lab, the suite for drivers."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncqueue.testing.alone import JobRun, run_job
    from asyncqueue.testing.attempt import Attempt
    from asyncqueue.testing.by_hand import Popped, pop
    from asyncqueue.testing.clock import Clock
    from asyncqueue.testing.conformance import DriverConformance
    from asyncqueue.testing.draining import Drained, drain
    from asyncqueue.testing.fakes import FakeQueue, as_default
    from asyncqueue.testing.lab import CrashLab, InvariantError, LabReport, LabRun
    from asyncqueue.testing.linked import PushedBatch, PushedChain
    from asyncqueue.testing.pushed import Pushed

__all__ = [
    "Attempt",
    "Clock",
    "CrashLab",
    "Drained",
    "DriverConformance",
    "FakeQueue",
    "InvariantError",
    "JobRun",
    "LabReport",
    "LabRun",
    "Popped",
    "Pushed",
    "PushedBatch",
    "PushedChain",
    "as_default",
    "drain",
    "pop",
    "run_job",
]

_HOMES: Final = {
    "Attempt": "attempt",
    "Clock": "clock",
    "CrashLab": "lab",
    "Drained": "draining",
    "DriverConformance": "conformance",
    "FakeQueue": "fakes",
    "InvariantError": "lab",
    "JobRun": "alone",
    "LabReport": "lab",
    "LabRun": "lab",
    "Popped": "by_hand",
    "Pushed": "pushed",
    "PushedBatch": "linked",
    "PushedChain": "linked",
    "as_default": "fakes",
    "drain": "draining",
    "pop": "by_hand",
    "run_job": "alone",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home == "conformance" and "asyncqueue.testing.conformance" not in sys.modules:
        # Only the suite needs pytest: whoever wants the rest shall not have to install it.
        import pytest  # noqa: PLC0415

        pytest.register_assert_rewrite("asyncqueue.testing.conformance")
    return getattr(importlib.import_module(f"asyncqueue.testing.{home}"), name)
