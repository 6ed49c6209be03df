from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.testing import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...servers.schemas import Schema


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def driver(postgres_schema: Schema, clock: Clock) -> AsyncGenerator[PostgresDriver]:
    driver = PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name, clock=clock)
    await driver.open()
    yield driver
    await driver.close()
