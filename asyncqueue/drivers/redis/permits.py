"""Permits: what is asked of the scripts that keep them, and what they answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asyncqueue.record import Permit

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.shards import Shards


def _home(shards: Shards, key: str) -> Scripts:
    return shards.all[shards.home_of_permits(key)]


async def acquire(shards: Shards, key: str, holder: str, most: int, ttl: float) -> float:
    """Take a permit; 0.0, or the seconds until one expires."""
    return float(await _home(shards, key).run("acquire", key, holder, most, repr(float(ttl))))


async def release(shards: Shards, key: str, holder: str | None) -> int:
    """Give the permit of one holder back, or all of a key."""
    told = "" if holder is None else f"={holder}"
    return int(await _home(shards, key).run("release", key, told))


async def holders(shards: Shards, key: str) -> list[Permit]:
    """The permits that are taken, the first to expire first."""
    now, *told = await _home(shards, key).run("permits", key)
    return [
        Permit(holder.decode(), None if float(until) == math.inf else float(until) - float(now))
        for holder, until in zip(told[::2], told[1::2], strict=True)
    ]
