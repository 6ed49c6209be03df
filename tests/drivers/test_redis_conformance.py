from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.testing import DriverConformance

if TYPE_CHECKING:
    from asyncqueue.testing import Clock
    from tests.servers.redis_groups import RedisCluster


class TestRedisDriver(DriverConformance):
    """DRV-07, TST-05."""

    @pytest.fixture(autouse=True)
    def server(self, redis_url: str, redis_prefix: str) -> None:
        self.url, self.prefix = redis_url, redis_prefix

    def make_driver(self, clock: Clock) -> RedisDriver:
        return RedisDriver(self.url, prefix=self.prefix, clock=clock)


class TestRedisDriverOnACluster(DriverConformance):
    """DRV-07, DRV-36: three primaries; every script is legal there."""

    @pytest.fixture(autouse=True)
    def server(self, redis_cluster_server: RedisCluster, redis_prefix: str) -> None:
        self.url, self.prefix = redis_cluster_server.url, redis_prefix

    def make_driver(self, clock: Clock) -> RedisDriver:
        return RedisDriver(self.url, prefix=self.prefix, clock=clock)
