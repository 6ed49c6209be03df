from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.testing import DriverConformance

if TYPE_CHECKING:
    from pathlib import Path

    from asyncqueue.testing import Clock


@pytest.mark.case("DRV-07", "TST-05")
class TestSqliteDriver(DriverConformance):
    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "queue.db"

    def make_driver(self, clock: Clock) -> SqliteDriver:
        return SqliteDriver(self.path, clock=clock)
