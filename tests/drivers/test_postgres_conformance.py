from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.testing import DriverConformance

if TYPE_CHECKING:
    from asyncqueue.testing import Clock

    from ..servers.schemas import Schema


@pytest.mark.case("DRV-07", "TST-05")
class TestPostgresDriver(DriverConformance):
    @pytest.fixture(autouse=True)
    def place(self, postgres_schema: Schema) -> None:
        self.place = postgres_schema

    def make_driver(self, clock: Clock) -> PostgresDriver:
        return PostgresDriver(self.place.dsn, schema=self.place.name, clock=clock)
