from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from tests.servers.redis_groups import RedisCluster, start_group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster of this test's own, whose nodes may be killed."""
    group = start_group(RedisCluster, tmp_path)
    yield group
    group.kill()


@pytest.fixture
async def driver(redis_url: str, redis_prefix: str) -> AsyncGenerator[RedisDriver]:
    """A driver by the clock of the server."""
    driver = RedisDriver(redis_url, prefix=redis_prefix, timeout=2)
    await driver.open()
    yield driver
    await driver.close()
