"""Watches: who hears of what, from whatever thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asyncqueue.drivers.watches import Watch, Watches

from ..recorder import PATIENCE


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


@pytest.fixture
async def watch() -> Watch:
    return Watch(["queue:q"])


async def test_who_waits_for_something_else_is_woken_by_a_ring(watch: Watch) -> None:
    never = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(watch.ring)
    async with asyncio.timeout(PATIENCE):
        await watch.wait_or(never, 60)
    assert watch.rung


async def test_a_ring_from_another_thread_wakes_him(watch: Watch) -> None:
    never = asyncio.get_running_loop().create_future()
    threading.Timer(0.01, watch.ring).start()
    async with asyncio.timeout(PATIENCE):
        await watch.wait_or(never, 60)
    assert watch.rung


async def test_what_he_waits_for_wakes_him_and_rings_nothing(watch: Watch) -> None:
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    async with asyncio.timeout(PATIENCE):
        await watch.wait_or(done, 60)
        await watch.wait_or(done, 60)  # It is done already.
    assert not watch.rung


async def test_his_time_is_over(watch: Watch) -> None:
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(PATIENCE):
        await watch.wait_or(never, 0.01)
    assert not watch.rung


async def test_an_earlier_ring_counts(watch: Watch) -> None:
    never = asyncio.get_running_loop().create_future()
    watch.ring()
    async with asyncio.timeout(PATIENCE):
        await watch.wait_or(never, 60)


async def test_those_on_a_topic_are_known() -> None:
    watches = Watches()
    one, two = watches.open(["a", "b"]), watches.open(["b"])
    assert watches.on("a") == (one,)
    assert set(watches.on("b")) == {one, two}
    assert watches.on("c") == ()
