"""A settlement that was refused, and came by another way, is not taken for one that was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError

from .acts import claim, ended, record

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres import PostgresDriver


async def test_what_a_transaction_has_settled_is_over(driver: PostgresDriver) -> None:
    await driver.enqueue([record("a")])
    (got,) = await claim(driver)
    stray = record("b", latch="nobody knows it")
    with pytest.raises(DriverError, match="nobody knows it"):
        await driver.settle([ended(got, retention=60, follow_ups=[stray])])
    async with driver.transaction(ended(got, retention=60)):
        pass
    assert await driver.settle([ended(got, retention=60)]) == [False]
