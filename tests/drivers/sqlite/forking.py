"""Doing something in a forked child, which is what the tests want to know about."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PATIENCE = 20
"""Seconds until a child that hangs is killed."""


async def in_child(act: Callable[[], Coroutine[object, object, object]]) -> str:
    """Await ``act()`` in an event loop of a forked child; gives the text of what it answers."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        _become(act, there)
    os.close(there)
    with os.fdopen(here, encoding="utf-8") as pipe:
        said = await asyncio.to_thread(pipe.read)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert status == 0, f"the child ended with {status}; it said {said}"
    return said


def _become(act: Callable[[], Coroutine[object, object, object]], there: int) -> None:
    signal.alarm(PATIENCE)
    status = 1
    try:
        answer = str(asyncio.run(act()))
        status = 0
    except BaseException:
        answer = traceback.format_exc()
    os.write(there, answer.encode())
    os._exit(status)
