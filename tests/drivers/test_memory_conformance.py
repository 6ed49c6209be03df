from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.testing import DriverConformance

if TYPE_CHECKING:
    from asyncqueue.testing import Clock


@pytest.mark.case("DRV-07", "TST-05")
class TestMemoryDriver(DriverConformance):
    def make_driver(self, clock: Clock) -> MemoryDriver:
        return MemoryDriver(clock=clock)
