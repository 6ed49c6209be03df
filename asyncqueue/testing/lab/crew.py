"""The workers of a run: each in a process of its own, followed by another one when it ends."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

from asyncqueue.testing.lab.faults import LEASE
from asyncqueue.testing.lab.loop import PROCESS, Process
from asyncqueue.testing.lab.striking import mark_handler
from asyncqueue.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.queue import Queue
    from asyncqueue.testing.lab.striking import Striking


class Crew:
    """Keeps so many workers at work until it is stopped."""

    def __init__(
        self,
        count: int,
        striking: Striking,
        open_queue: Callable[[Process], Queue],
        options: dict[str, Any],
    ) -> None:
        self.journal = striking.journal
        self._striking = striking
        self._open_queue = open_queue
        self._options = options
        self._stopping = asyncio.Event()
        self._keepers = [asyncio.create_task(self._keep(n + 1)) for n in range(count)]

    async def stop(self) -> None:
        """Stop them all; raises what a worker ended by that nobody stopped."""
        self._stopping.set()
        for keeper in self._keepers:
            await keeper

    async def _keep(self, number: int) -> None:
        name, generation = f"worker-{number}", 0
        while not self._stopping.is_set():
            generation += 1
            post = Post(name if generation == 1 else f"{name}.{generation}", self)
            pause = await post.held(self._stopping)
            if not self._stopping.is_set():
                await asyncio.wait([asyncio.ensure_future(self._stopping.wait())], timeout=pause)

    def worker(self, process: Process) -> Worker:
        """A new worker, with a handle on the store of its own."""
        options: dict[str, Any] = {
            "logger": self._striking.journal.log,
            "lease": LEASE,
            "poll_interval": 1.0,
            **self._options,
            "middleware": (mark_handler, *self._options.get("middleware", ())),
        }
        return Worker(self._open_queue(process), **options)

    def register(self, process: Process, post: Post) -> None:
        """Faults may strike this process from now on."""
        self._striking.victims[process] = post


class Post:
    """One worker in its process, from its start to its end."""

    def __init__(self, name: str, crew: Crew) -> None:
        self._process = Process(name)
        self._variables = contextvars.copy_context()
        self._variables.run(PROCESS.set, self._process)
        self._worker = self._variables.run(crew.worker, self._process)
        self._end: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._journal = crew.journal
        self.worker_id = self._worker.id
        crew.register(self._process, self)

    async def held(self, stopping: asyncio.Event) -> float:
        """Work until it ends or dies, or is stopped; answers the pause before the next one."""
        running = self._spawn(self._worker.run())
        asked = asyncio.ensure_future(stopping.wait())
        await asyncio.wait([running, self._end, asked], return_when=asyncio.FIRST_COMPLETED)
        if asked.done() and not self._end.done() and not running.done():
            self.shut_down()
            await asyncio.wait([running, self._end], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if self._end.done():
            return self._end.result()
        running.result()
        return 0.0

    def died(self, pause: float) -> None:
        """It is dead; another may take its place after so many seconds."""
        if not self._end.done():
            self._end.set_result(pause)

    def shut_down(self) -> None:
        """It is asked to stop."""
        self._spawn(self._stop())

    async def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await self._worker.stop()
        self._journal.note(f"stopped in {loop.time() - asked:.3f} s")

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        loop = asyncio.get_running_loop()
        return loop.create_task(coroutine, context=self._variables.copy())
