"""Watches: who hears of what, from whatever thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asyncqueue.drivers.watches import Watches


@pytest.mark.asyncio
async def test_a_ring_from_another_thread_wakes_who_waits() -> None:
    # It refuses what another thread may not do, where it would only be late otherwise.
    asyncio.get_running_loop().set_debug(True)
    watches = Watches()
    with watches.open(["queue:q"]) as watch:
        waiting = asyncio.create_task(watch.wait(10))
        await asyncio.sleep(0)
        ringing = threading.Thread(target=watches.ring, args=(["queue:q"],))
        ringing.start()
        async with asyncio.timeout(2):
            await waiting
        ringing.join()
        assert watch.rung


def test_a_ring_for_somebody_whose_loop_is_closed_harms_nobody() -> None:
    watches = Watches()

    async def watch() -> None:
        watches.open(["queue:q"])

    gone = threading.Thread(target=asyncio.run, args=(watch(),))
    gone.start()
    gone.join()

    async def ring() -> None:
        with watches.open(["queue:q"]) as mine:
            watches.ring(["queue:q"])
            await mine.wait(5)
            assert mine.rung

    asyncio.run(ring())


@pytest.mark.asyncio
async def test_who_closes_leaves_the_others_of_a_topic() -> None:
    watches = Watches()
    assert watches.idle
    first, second = watches.open(["queue:q", "job:1"]), watches.open(["queue:q"])
    assert not watches.idle
    first.close()
    watches.ring(["queue:q", "job:1"])
    assert (first.rung, second.rung) == (False, True)
    assert watches.topics() == {"queue:q"}
    second.close()
    second.close()
    assert watches.idle
    assert len(watches) == 0


@pytest.mark.asyncio
async def test_all_are_rung_together() -> None:
    watches = Watches()
    many = [watches.open(["queue:q"]) for _ in range(3)] + [watches.open(["queue:r"])]
    watches.ring_all()
    assert all(watch.rung for watch in many)
    for watch in many:
        watch.clear()
        watch.close()
    watches.ring_all()
    assert not any(watch.rung for watch in many)
