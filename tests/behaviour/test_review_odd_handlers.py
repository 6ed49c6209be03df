"""What no handler and no listener should do, and what becomes of the rest when one does."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import Context, Job, JobProcessed, Queue, State
from asyncqueue.queue import queue as queue_module

from ..recorder import PATIENCE


@pytest.mark.case("RTY-21")
async def test_a_handler_that_raises_generator_exit_fails_and_frees_its_slot(queue, make_worker):
    class Odd(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            raise GeneratorExit

    class Next(Job):
        async def handle(self, ctx: Context) -> str:
            return "ran"

    odd = await queue.dispatch(Odd())
    after = await queue.dispatch(Next())
    async with make_worker(concurrency=1):
        assert await after.result(PATIENCE) == "ran"
        assert (await odd.status()).state is State.FAILED


class Quick(Job, name="QuickOfOddHandlers"):
    async def handle(self, ctx: Context) -> None: ...


@pytest.fixture
def deaf(queue):
    """An event that is set once a listener hangs on the first JobProcessed."""
    hangs = asyncio.Event()

    async def listen(event):
        hangs.set()
        await asyncio.Event().wait()

    queue.on(JobProcessed, listen)
    return hangs


async def test_a_listener_that_hangs_does_not_keep_a_worker_from_stopping(
    queue, make_worker, deaf, monkeypatch, caplog
):
    monkeypatch.setattr(queue_module, "LISTENERS_PATIENCE", 0.01)
    worker = make_worker(drain_timeout=0)
    await worker.start()
    await queue.dispatch(Quick())
    await asyncio.wait_for(deaf.wait(), PATIENCE)
    await asyncio.wait_for(worker.stop(), PATIENCE)
    assert not worker.running
    await asyncio.wait_for(queue.close(), PATIENCE)
    assert caplog.text.count("Listeners have not heard all") == 2


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_a_queue_serves_several_event_loops_at_the_same_time(scheme, tmp_path):
    """The dispatches of none of them wait for another loop."""
    queue = Queue("memory://" if scheme == "memory" else f"sqlite:///{tmp_path}/q.db")

    async def produce() -> None:
        for _ in range(20):
            await queue.dispatch(Quick())

    async def everything() -> int:
        await queue.ping()
        elsewhere = (asyncio.to_thread(asyncio.run, produce()) for _ in range(3))
        await asyncio.gather(produce(), produce(), *elsewhere)
        size = await queue.size("default")
        await queue.close()
        return size

    async def bounded() -> int:
        return await asyncio.wait_for(everything(), 4 * PATIENCE)

    assert asyncio.run(bounded()) == 100
