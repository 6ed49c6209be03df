"""Stores records in groups: whatever came in while the last call was in flight goes next."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record

    Answers = list[str | None]

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
            try:
                answers = await self._driver.enqueue([r for records, _ in group for r in records])
            except BaseException as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                _hand_out(group, answers)

    def _next_group(self) -> list[tuple[list[Record], asyncio.Future[Answers]]]:
        group: list[tuple[list[Record], asyncio.Future[Answers]]] = []
        size = 0
        while self._waiting and size < LARGEST_GROUP:
            records, future = self._waiting.popleft()
            if not future.done():
                group.append((records, future))
                size += len(records)
        return group


def _hand_out(group: list[tuple[list[Record], asyncio.Future[Answers]]], answers: Answers) -> None:
    start = 0
    for records, future in group:
        end = start + len(records)
        if not future.done():
            future.set_result(answers[start:end])
        start = end
