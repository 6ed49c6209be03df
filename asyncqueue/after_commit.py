"""Work that waits for the commit of the transaction it was asked for in."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

_waiting: ContextVar[list[Callable[[], Awaitable[object]]] | None] = ContextVar(
    "asyncqueue_after_commit", default=None
)


@contextlib.asynccontextmanager
async def collect_after_commit() -> AsyncGenerator[None]:
    """Keep what :func:`after_commit` is given in the block; do it after the block, in order.

    When the block raises, it is dropped.
    """
    work: list[Callable[[], Awaitable[object]]] = []
    token = _waiting.set(work)
    try:
        yield
    finally:
        _waiting.reset(token)
    for item in work:
        await item()


def after_commit(work: Callable[[], Awaitable[object]]) -> bool:
    """Keep ``work`` for the commit of the transaction around; False where there is none."""
    waiting = _waiting.get()
    if waiting is None:
        return False
    waiting.append(work)
    return True
