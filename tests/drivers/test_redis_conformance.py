from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.testing import DriverConformance
from tests.docs.pages import blocks

from .redis.acts import operator

if TYPE_CHECKING:
    from asyncqueue.testing import Clock
    from tests.servers.redis import RedisServer
    from tests.servers.redis_groups import RedisCluster


@pytest.mark.case("DRV-07", "TST-05")
class TestRedisDriver(DriverConformance):
    @pytest.fixture(autouse=True)
    def server(self, redis_url: str, redis_prefix: str) -> None:
        self.url, self.prefix = redis_url, redis_prefix

    def make_driver(self, clock: Clock) -> RedisDriver:
        return RedisDriver(self.url, prefix=self.prefix, clock=clock)


class TestShardedRedisDriverWithFewRights(DriverConformance):
    """Three shards on one server; the rights that the guide grants are enough for everything."""

    @pytest.fixture(autouse=True)
    async def server(self, redis_server: RedisServer, redis_prefix: str) -> None:
        self.prefix = redis_prefix
        (rule,) = [block.text for block in blocks("text") if "ACL SETUSER" in block.text]
        tag = f"{redis_prefix}:*"
        async with operator(redis_server.url) as other:
            await other.call("ACL", "DELUSER", "asyncqueue")
            assert await other.call(*rule.replace("asyncqueue:0", tag).split()) == b"OK"
        self.url = redis_server.url.replace("//", "//asyncqueue:s3cret@")

    def make_driver(self, clock: Clock) -> RedisDriver:
        return RedisDriver(self.url, prefix=self.prefix, shards=3, clock=clock)


@pytest.mark.case("DRV-07")
class TestShardedRedisDriverOnACluster(DriverConformance):
    """Three shards, each on a node of its own; every script is legal there."""

    @pytest.fixture(autouse=True)
    def server(self, redis_cluster_server: RedisCluster, redis_prefix: str) -> None:
        self.url = redis_cluster_server.url
        self.prefix = redis_cluster_server.spread(redis_prefix)

    def make_driver(self, clock: Clock) -> RedisDriver:
        return RedisDriver(self.url, prefix=self.prefix, shards=3, clock=clock)
