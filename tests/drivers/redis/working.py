"""A worker in a process of its own: ``python -m tests.drivers.redis.working URL PREFIX LEASE``.

It says the number of each job that ran, one a line, and ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from asyncqueue import Context, Job, Queue, Worker
from asyncqueue.drivers.redis import RedisDriver


class RedisNumber(Job, max_attempts=5):
    number: int

    async def handle(self, ctx: Context) -> None:
        await asyncio.sleep(0.005)
        print(self.number, flush=True)


async def main(url: str, prefix: str, lease: float) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    queue = Queue(RedisDriver(url, prefix=prefix, timeout=1))
    async with queue, Worker(queue, lease=lease, concurrency=5):
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await queue.driver.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
