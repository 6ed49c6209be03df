"""A queue on a Redis server, set up in code."""

from __future__ import annotations

from asyncqueue import Queue
from asyncqueue.drivers.redis import RedisDriver

queue = Queue(RedisDriver("redis://:s3cret@cache.internal:6379/0", prefix="shop", timeout=2))

if __name__ == "__main__":
    # Building it does no I/O, and what it tells of itself holds no password.
    print(queue.driver.location())
