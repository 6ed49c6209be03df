"""Registering a driver under a URL scheme."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from asyncqueue import Context, Driver, Job, Queue, Settings, Worker, register_driver

sys.path.insert(0, str(Path(__file__).parent))
from tiny_driver import TinyDriver


def tiny(settings: Settings) -> Driver:
    return TinyDriver(str(settings.url).removeprefix("tiny://"))


register_driver("tiny", tiny)
queue = Queue("tiny://jobs")


class Hello(Job):
    async def handle(self, ctx: Context) -> str:
        return "hello"


async def main() -> None:
    async with queue, Worker(queue, poll_interval=0.01):
        print(await (await queue.dispatch(Hello())).result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
