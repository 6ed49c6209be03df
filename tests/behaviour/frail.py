"""Drivers that fail or hang when they are told to, around a real one."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from asyncqueue.errors import DriverUnavailable

if TYPE_CHECKING:
    from asyncqueue import Driver


def frail(driver: Driver) -> Any:
    """A driver of the same class on the same store whose verbs can be broken and held up.

    ``broken``: verbs that raise DriverUnavailable. ``held``: verbs that wait, before they reach
    the store, until they are taken out of it; ``late``: the same, but after. Its clones,
    which the heartbeat uses, are sound.
    """
    twin: Any = driver.clone()
    twin.clock = driver.clock
    twin.broken = set()
    twin.held = {}
    twin.late = {}
    twin.calls = Counter()
    for verb in ("claim", "settle", "enqueue", "sweep", "extend", "paused"):
        setattr(twin, verb, _frail(twin, verb, getattr(twin, verb)))
    return twin


def _frail(driver: Any, verb: str, sound: Any) -> Any:
    async def call(*args: Any, **options: Any) -> Any:
        driver.calls[verb] += 1
        if verb in driver.broken:
            await asyncio.sleep(0)
            raise DriverUnavailable(f"{verb}: the store is away")
        if verb in driver.held:
            await driver.held[verb].wait()
        answer = await sound(*args, **options)
        if verb in driver.late:
            await driver.late[verb].wait()
        return answer

    return call
