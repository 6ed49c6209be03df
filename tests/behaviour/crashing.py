"""A worker in a process of its own: ``python -m tests.behaviour.crashing PATH LEASE``.

It says on stdout what its handlers do, one line each.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

from asyncqueue import Context, Event, Job, Queue, Worker


def say(*words: Any) -> None:
    print(*words, flush=True)


class Endless(Job, max_attempts=2):
    async def handle(self, ctx: Context) -> None:
        say("running", ctx.attempt)
        try:
            await asyncio.Event().wait()
        finally:
            say("cause", ctx.cause)

    async def failed(self, ctx: Context, error: BaseException) -> None:
        say("hook", type(error).__name__)


class Blocks(Job):
    seconds: float

    async def handle(self, ctx: Context) -> None:
        say("running", ctx.attempt)
        time.sleep(self.seconds)


class Returns(Job):
    async def handle(self, ctx: Context) -> str:
        say("running", ctx.attempt)
        return "done"


async def main(path: str, lease: float) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="LOG %(message)s")
    queue = Queue(f"sqlite:///{path}")
    queue.on(Event, lambda event: say("event", type(event).__name__))
    async with queue, Worker(queue, lease=lease, poll_interval=0.02):
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
