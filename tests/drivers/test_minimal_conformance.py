from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.testing import DriverConformance

from .minimal import MinimalDriver

if TYPE_CHECKING:
    from asyncqueue.testing import Clock


class TestMinimalDriver(DriverConformance):
    """DRV-20, TST-05: five verbs pass; what is not offered is skipped."""

    def make_driver(self, clock: Clock) -> MinimalDriver:
        return MinimalDriver(clock)
