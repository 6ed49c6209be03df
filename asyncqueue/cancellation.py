"""Tells the cancellation of an asyncio task from a ``CancelledError`` that somebody just raised."""

from __future__ import annotations

import asyncio


def raise_if_cancelled(error: BaseException) -> None:
    """Raise ``error`` again if it is the cancellation of the current asyncio task.

    Any other ``CancelledError``, of a future that code of somebody else cancelled for example, is
    an error like all others: it must not end a duty that nobody cancelled.
    """
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
