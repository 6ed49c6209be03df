from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.testing import DriverConformance

from .minimal import MinimalDriver

if TYPE_CHECKING:
    from asyncqueue.testing import Clock


@pytest.mark.case("DRV-20", "TST-05")
@pytest.mark.partial
class TestMinimalDriver(DriverConformance):
    """Five verbs pass; what is not offered is skipped."""

    def make_driver(self, clock: Clock) -> MinimalDriver:
        return MinimalDriver(clock)
