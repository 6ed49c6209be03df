"""A crash lab finds that a customer is charged twice, and shows that the repair holds."""

import asyncio

import pytest

from asyncqueue import Context, Job
from asyncqueue.testing import CrashLab, InvariantError, LabRun


class Bank:
    """Stands in for a payment provider, which knows requests by their idempotency key."""

    def __init__(self) -> None:
        self.charges: dict[str, int] = {}

    async def charge(self, order: int, key: str) -> None:
        await asyncio.sleep(0.2)  # no time passes: this is a lab
        self.charges[key] = order
        await asyncio.sleep(0.1)


class Charge(Job):
    order: int

    async def handle(self, ctx: Context, bank: Bank) -> None:
        await bank.charge(self.order, key=f"{ctx.job_id}/{ctx.attempt}")


class ChargeOnce(Job):
    order: int

    async def handle(self, ctx: Context, bank: Bank) -> None:
        await bank.charge(self.order, key=ctx.job_id)


async def each_order_is_charged_once(run: LabRun) -> None:
    bank = Bank()
    async with run.workers(2, services=[bank]):
        for order in range(3):
            await run.dispatch(Charge(order))
    assert sorted(bank.charges.values()) == [0, 1, 2]


async def each_order_is_charged_once_by_now(run: LabRun) -> None:
    bank = Bank()
    async with run.workers(2, services=[bank]):
        for order in range(3):
            await run.dispatch(ChargeOnce(order))
    assert sorted(bank.charges.values()) == [0, 1, 2]


def test_a_crash_charges_twice():
    lab = CrashLab(seeds=50)
    with pytest.raises(InvariantError) as broken:
        lab.check(each_order_is_charged_once)
    print(broken.value)
    with pytest.raises(InvariantError):
        lab.replay(each_order_is_charged_once, broken.value.seed)


def test_the_key_prevents_it(asyncqueue_lab: CrashLab):
    asyncqueue_lab.check(each_order_is_charged_once_by_now)
