"""Stores records in groups: whatever came in while the last call was in flight goes next."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from asyncqueue.errors import DriverUnavailable

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record

    Answers = list[str | None]
    Group = list[tuple[list[Record], asyncio.Future[Answers]]]

_OF_ALL: Final = (DriverUnavailable, asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""Errors that say nothing about a single record."""
LARGEST_GROUP: Final = 1_000
"""Records in one store call, unless a single dispatch has more."""


class Dispatcher:
    """Groups concurrent dispatches of one event loop into one store call at a time.

    Idle, a dispatch is stored at once; busy, hundreds share a call. A caller that is cancelled
    before its records were sent stores nothing.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._waiting: deque[tuple[list[Record], asyncio.Future[Answers]]] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def store(self, records: list[Record]) -> Answers:
        """Return the driver's answers once these records are durable."""
        if self._driver.in_process:
            return await self._driver.enqueue(records)
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append((records, answers))
        if self._sending is None or self._sending.done():
            self._sending = loop.create_task(self._send())
        return await answers

    async def drained(self) -> None:
        """Return when nothing is waiting or in flight."""
        while self._sending is not None and not self._sending.done():
            await asyncio.wait([self._sending])

    async def _send(self) -> None:
        while self._waiting:
            group = self._next_group()
            if not group:
                continue
            if not await self._stored(group):
                # One of them is at fault: the others must not suffer for it.
                for records, future in group:
                    if not future.done():
                        await self._stored([(records, future)])

    async def _stored(self, group: Group) -> bool:
        """Whether every caller has its answer; a refused group of several has to be taken apart."""
        try:
            answers = await self._driver.enqueue([r for records, _ in group for r in records])
        except BaseException as error:
            if len(group) > 1 and not isinstance(error, _OF_ALL):
                return False
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            _hand_out(group, answers)
        return True

    def _next_group(self) -> Group:
        group: Group = []
        size = 0
        while self._waiting and size < LARGEST_GROUP:
            records, future = self._waiting.popleft()
            if not future.done():
                group.append((records, future))
                size += len(records)
        return group


def _hand_out(group: Group, answers: Answers) -> None:
    start = 0
    for records, future in group:
        end = start + len(records)
        if not future.done():
            future.set_result(answers[start:end])
        start = end
