"""A sync queue may be used for millions of dispatches."""

from __future__ import annotations

from asyncqueue import Context, Job, Queue
from asyncqueue.drivers.sync import MOST_KEPT, SyncDriver


async def test_records_past_their_retention_go_though_nobody_looks(clock):
    class Quick(Job, retention=1):
        async def handle(self, ctx: Context) -> None:
            return None

    async with Queue(driver := SyncDriver(clock=clock)) as queue:
        for _ in range(3 * MOST_KEPT):
            await queue.dispatch(Quick())
            clock.advance(0.01)
        assert len(driver._kept) <= MOST_KEPT + 1
        handle = await queue.dispatch(Quick(), id="known")
        assert not handle.duplicate
        assert (await queue.dispatch(Quick(), id="known")).duplicate
        clock.advance(2)
        assert not (await queue.dispatch(Quick(), id="known")).duplicate
