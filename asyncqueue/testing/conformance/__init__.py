"""The suite that every driver must pass: subclass :class:`DriverConformance` in a test module.

It needs pytest and pytest-asyncio (any mode). Each rule is a test of its own, with the cases of
``docs/reference/behaviour.md`` that it proves in its ``cases``. A verb that a driver does not
offer (it leaves the method of :class:`~asyncqueue.drivers.base.Driver` as it is) is skipped.
"""

from __future__ import annotations

from asyncqueue.testing.conformance.calling_off import CallOffRules
from asyncqueue.testing.conformance.claims import ClaimRules
from asyncqueue.testing.conformance.enqueueing import EnqueueRules
from asyncqueue.testing.conformance.failures import FailedJobRules
from asyncqueue.testing.conformance.fair import FairRules
from asyncqueue.testing.conformance.follow_ups import FollowUpRules, RefusalRules
from asyncqueue.testing.conformance.handles import HandleRules
from asyncqueue.testing.conformance.held import HeldRules, RemovedHeldRules
from asyncqueue.testing.conformance.history import HistoryRules
from asyncqueue.testing.conformance.keys import KeyRules
from asyncqueue.testing.conformance.latches import LatchRules
from asyncqueue.testing.conformance.leases import LeaseRules
from asyncqueue.testing.conformance.leaving import LeavingRules
from asyncqueue.testing.conformance.limits import LimitRules
from asyncqueue.testing.conformance.looks import CountRules, FindRules
from asyncqueue.testing.conformance.operating import CancelRules, DeleteRules, PauseRules
from asyncqueue.testing.conformance.permits import PermitRules
from asyncqueue.testing.conformance.refilling import RefillRules
from asyncqueue.testing.conformance.settling import SettleRules
from asyncqueue.testing.conformance.watching import WatchRules
from asyncqueue.testing.conformance.workers import WorkerRules

__all__ = ["DriverConformance"]


class DriverConformance(
    EnqueueRules,
    KeyRules,
    ClaimRules,
    SettleRules,
    FailedJobRules,
    LeaseRules,
    FindRules,
    CountRules,
    CancelRules,
    DeleteRules,
    PauseRules,
    WatchRules,
    WorkerRules,
    HandleRules,
    LatchRules,
    CallOffRules,
    HeldRules,
    RemovedHeldRules,
    FollowUpRules,
    RefusalRules,
    HistoryRules,
    PermitRules,
    LimitRules,
    RefillRules,
    FairRules,
    LeavingRules,
):
    """Every rule of the driver protocol.

    Say how your driver is built; ``clock`` is moved by hand and is to be its only clock::

        class TestMyDriver(DriverConformance):
            @pytest.fixture(autouse=True)
            def folder(self, tmp_path):
                self.path = tmp_path / "jobs.db"

            def make_driver(self, clock):
                return MyDriver(self.path, clock=clock)

    Override :meth:`dispose` where closing is not enough to clean up, and ``second_handle`` where
    a second handle on the same store is not made by ``clone()``.
    """
