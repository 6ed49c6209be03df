"""Work that waits for the commit of the transaction it was asked for in."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Work = Callable[[], Awaitable[object]]


class _Waiting:
    def __init__(self, store: object) -> None:
        self.store = store
        self.connection: object | None = None
        self.work: list[Work] = []
        self.over = False


_waiting: ContextVar[_Waiting | None] = ContextVar("asyncqueue_after_commit", default=None)


@contextlib.asynccontextmanager
async def collect_after_commit(store: object = None) -> AsyncGenerator[_Waiting]:
    """Keep what :func:`after_commit` is given in the block; do it after the block, in order.

    When the block raises, it is dropped. Else all of it is done, even if some of it raises or the
    caller is cancelled meanwhile: both reach the caller afterwards. Gives what the ``connection``
    of the transaction is to be told to, so that others can join it.
    """
    waiting = _Waiting(store)
    token = _waiting.set(waiting)
    try:
        yield waiting
    finally:
        _waiting.reset(token)
        waiting.over = True
    if waiting.work:
        doing = asyncio.ensure_future(_do_all(waiting.work))
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            raise


def after_commit(work: Work) -> bool:
    """Keep ``work`` for the commit of the transaction around; False where there is none."""
    waiting = _waiting.get()
    if waiting is None or waiting.over:
        return False
    waiting.work.append(work)
    return True


def enclosing_connection(store: object) -> object | None:
    """The connection of the transaction around, if it is one of this store."""
    waiting = _waiting.get()
    if waiting is None or waiting.over or waiting.store is not store:
        return None
    return waiting.connection


def refuse_in_transaction(store: object, call: str) -> None:
    """Raise DriverError inside a transaction of this store: the call is no part of it.

    It would wait for the end of the transaction, which waits for the call.
    """
    if enclosing_connection(store) is not None:
        raise DriverError(
            f"{call} cannot be called inside ctx.transaction(), of which it is no part; call it "
            "before or after the block."
        )


async def _do_all(work: list[Work]) -> None:
    errors: list[Exception] = []
    for item in work:
        try:
            await item()
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(work)} could not be done", errors)
