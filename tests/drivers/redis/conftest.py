from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture
async def driver(redis_url: str, redis_prefix: str) -> AsyncGenerator[RedisDriver]:
    """A driver by the clock of the server."""
    driver = RedisDriver(redis_url, prefix=redis_prefix, timeout=2)
    await driver.open()
    yield driver
    await driver.close()
