"""A test of what is scheduled when, in no time."""

from __future__ import annotations

import pytest

from asyncqueue import Context, Job, Queue, Scheduler
from asyncqueue.testing import Clock, FakeQueue


class Invoice(Job):
    async def handle(self, ctx: Context) -> None: ...


def build_scheduler(queue: Queue) -> Scheduler:
    """Stands for your code."""
    scheduler = Scheduler(queue)
    scheduler.cron("invoices", "0 8 1 * *", Invoice(), timezone="America/New_York")
    return scheduler


@pytest.mark.asyncio
async def test_invoices_go_out_once_a_month():
    clock = Clock()  # It stands at the beginning of 2030, in UTC.
    async with FakeQueue(clock=clock) as queue:
        scheduler = build_scheduler(queue)
        assert [f"{due:%B %d, %H:%M %Z}" for due in scheduler.upcoming("invoices", 3)] == [
            "January 01, 08:00 EST",
            "February 01, 08:00 EST",
            "March 01, 08:00 EST",
        ]
        async with scheduler:
            clock.advance(90 * 86400)
        queue.assert_pushed(Invoice, times=3, on="scheduled")
