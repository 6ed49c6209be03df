"""The Redis driver: for any number of processes on any number of hosts."""

from __future__ import annotations

from asyncqueue.drivers.redis.driver import RedisDriver

__all__ = ["RedisDriver"]
