"""A call of which a part was stored when another part was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.errors import DriverError
from asyncqueue.record import State

from .acts import claim, ended, record, states

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres import PostgresDriver


async def test_who_is_settled_again_after_a_refusal_is_told_what_became_of_it(
    driver: PostgresDriver,
) -> None:
    """The settler asks for each of them again, to find out which one it was."""
    await driver.enqueue([record("plain"), record("bad")])
    plain, bad = await claim(driver)
    unknown = [record("next", latch="unknown")]
    ends = [ended(plain), ended(bad, follow_ups=unknown)]
    with pytest.raises(DriverError, match="unknown"):
        await driver.settle(ends)
    assert await driver.settle([ends[0]]) == [True]
    with pytest.raises(DriverError, match="unknown"):
        await driver.settle([ends[1]])
    assert await states(driver) == {"plain": State.COMPLETED, "bad": State.PROCESSING}
    assert await driver.settle([ended(bad)]) == [True]


@pytest.mark.parametrize("retention", [0.0, 60.0])
async def test_who_is_settled_twice_in_one_call_after_a_refusal_is_settled_once(
    driver: PostgresDriver, retention: float
) -> None:
    """Only what an earlier call has stored is told anew, not what this one stores."""
    await driver.enqueue([record("job")])
    (job,) = await claim(driver)
    with pytest.raises(DriverError, match="unknown"):
        await driver.settle([ended(job, follow_ups=[record("next", latch="unknown")])])
    end = ended(job, retention=retention)
    assert await driver.settle([end, end]) == [True, False]
