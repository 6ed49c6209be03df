from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.testing import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def driver(path: Path, clock: Clock) -> AsyncGenerator[SqliteDriver]:
    driver = SqliteDriver(path, clock=clock, busy_timeout=1)
    await driver.open()
    yield driver
    await driver.close()
