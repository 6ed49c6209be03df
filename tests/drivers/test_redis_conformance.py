from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.testing import DriverConformance

if TYPE_CHECKING:
    from asyncqueue.testing import Clock


class TestRedisDriver(DriverConformance):
    """DRV-07, TST-05."""

    @pytest.fixture(autouse=True)
    def server(self, redis_url: str, redis_prefix: str) -> None:
        self.url, self.prefix = redis_url, redis_prefix

    def make_driver(self, clock: Clock) -> RedisDriver:
        return RedisDriver(self.url, prefix=self.prefix, clock=clock)
