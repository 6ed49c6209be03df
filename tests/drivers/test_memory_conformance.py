from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.testing import DriverConformance

if TYPE_CHECKING:
    from asyncqueue.testing import Clock


class TestMemoryDriver(DriverConformance):
    """DRV-07, TST-05."""

    def make_driver(self, clock: Clock) -> MemoryDriver:
        return MemoryDriver(clock=clock)
