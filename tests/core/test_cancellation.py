"""The event by which a handler learns that it is being interrupted."""

from __future__ import annotations

import asyncio

import msgspec

from asyncqueue.interruption import Cancellation


async def test_waiting_again_and_again_keeps_nothing():
    """A handler may look with a timeout, every second for days."""
    cancellation = Cancellation()
    for _ in range(3):
        waiting = asyncio.ensure_future(cancellation.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert not any(msgspec.structs.astuple(cancellation))


async def test_everybody_who_waits_is_told():
    cancellation = Cancellation()
    both = asyncio.gather(cancellation.wait(), cancellation.wait())
    await asyncio.sleep(0)
    assert cancellation.set("timeout")
    await both
    assert not cancellation.set("shutdown")
    assert cancellation.cause == "timeout"
