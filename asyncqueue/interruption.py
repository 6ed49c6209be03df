"""That a job is being interrupted, and why."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

Cause = Literal["shutdown", "timeout", "cancelled", "lease_lost"]


class Cancellation(msgspec.Struct, eq=False):
    """An event that is set when the job is being interrupted, and why. Await it, or poll it."""

    # One is made for every job and hardly ever used: a struct takes no call of Python to make.
    cause: Cause | None = None
    _waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether the job is being interrupted. Safe to poll from the thread of a plain job."""
        return self.cause is not None

    async def wait(self) -> None:
        """Return when the job is being interrupted."""
        if self.cause is None:
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            try:
                await waiter
            finally:  # Whoever looks again and again with a timeout must leave nothing behind.
                self._waiters.remove(waiter)

    def __await__(self) -> Any:
        return self.wait().__await__()

    def set(self, cause: Cause) -> bool:
        """Interrupt for this cause, unless there is one already; answers whether it was first."""
        if self.cause is not None:
            return False
        self.cause = cause
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        return True
