"""The crash lab: jobs run again and again under faults, other ones each time, all replayable."""

from asyncqueue.testing.lab.faults import FAULTS, Fault
from asyncqueue.testing.lab.lab import CrashLab, InvariantError, LabReport
from asyncqueue.testing.lab.run import LabRun

__all__ = ["FAULTS", "CrashLab", "Fault", "InvariantError", "LabReport", "LabRun"]
