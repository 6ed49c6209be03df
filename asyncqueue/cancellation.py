"""Tells the cancellation of an asyncio task from a ``CancelledError`` that somebody just raised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

TRIES: Final = 4
AGAIN: Final = 0.5
"""Seconds until a task that goes on is cancelled again."""


def raise_if_cancelled(error: BaseException) -> None:
    """Raise ``error`` again if it is the cancellation of the current asyncio task.

    Any other ``CancelledError``, of a future that code of somebody else cancelled for example, is
    an error like all others: it must not end a duty that nobody cancelled.
    """
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error


def heed_cancellation() -> None:
    """Raise ``CancelledError`` if the current asyncio task was cancelled and nobody let it know."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def end(tasks: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Cancel tasks and wait until they have ended; answers those that did not.

    Code of somebody else that they are in may swallow a cancellation, so they are cancelled again,
    a few times: nobody may keep a worker from stopping.
    """
    left = {task for task in tasks if not task.done()}
    for _ in range(TRIES):
        if not left:
            break
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN)
    return left
