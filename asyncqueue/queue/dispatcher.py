"""Stores records in groups: whatever came in while the last call was in flight goes next."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from asyncqueue.errors import DriverUnavailable, PartlyUnavailable

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record

    Answers = list[str | None]

_OF_ALL: Final = (DriverUnavailable, asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""Errors that say nothing about a single record."""
LARGEST_GROUP: Final = 1_000
"""Records in one store call, unless a single dispatch has more."""
WORTH_A_CALL: Final = 16
"""Dispatches that wait together are not divided into smaller groups than this."""


class Dispatch(NamedTuple):
    """Records that somebody waits for."""

    records: list[Record]
    answers: asyncio.Future[Answers]
    asked_at: float
    """In seconds of the store's monotonic clock."""


class Dispatcher:
    """Groups concurrent dispatches of one event loop into few store calls.

    Idle, a dispatch is stored at once; busy, hundreds share a call. Where the driver takes several
    calls at once, callers who all go on when they have their answers are divided among these:
    else the store would have nothing to do while they do, and they nothing while it does.
    Delays count from the dispatch all the same. A caller that is cancelled before its records were
    sent stores nothing. What other event loops dispatch meanwhile is stored for itself.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._waiting: deque[Dispatch] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._calls = 0
        """How many of these have begun, and how many callers send what is their own."""
        self._about_to_send = False
        """Whether one has not begun yet."""
        self._alone = False
        """Whether the last call was for one dispatch only, of a caller who can send its own."""
        self._over: asyncio.Future[None] | None = None
        """For those who wait until no call is in flight."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._choosing = threading.Lock()

    async def store(self, records: list[Record]) -> Answers:
        """Return the driver's answers once these records are durable."""
        if self._driver.in_process:
            # Such a driver never waits: without this, a loop of dispatches would starve its worker.
            await asyncio.sleep(0)
            return await self._driver.enqueue(records)
        loop = asyncio.get_running_loop()
        if loop is not self._loop and not self._takes(loop):
            # It runs in another thread, and futures and tasks must stay in theirs.
            return await self._driver.enqueue(records)
        if self._alone and not self._calls and not self._waiting:
            return await self._send_own(records, loop)
        answers: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append(Dispatch(records, answers, self._driver.clock.monotonic()))
        self._begin()
        return await answers

    async def _send_own(self, records: list[Record], loop: asyncio.AbstractEventLoop) -> Answers:
        """Nobody else dispatches now: the caller need not wait for somebody to send for it."""
        self._calls += 1
        try:
            return await self._driver.enqueue(records)
        finally:
            self._call_ended(loop)
            if self._waiting and self._loop is loop and not loop.is_closed():
                self._begin()

    def _call_ended(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:  # Else it was thrown away with its loop, and counts no more.
            self._calls -= 1
            if self._over is not None and not self._calls:
                self._over.set_result(None)
                self._over = None

    def _begin(self) -> None:
        """Let what waits be sent, as soon as a call may be made."""
        if not self._about_to_send and self._calls < self._driver.enqueues_at_once:
            self._about_to_send = True
            sending = asyncio.get_running_loop().create_task(self._send())
            self._sending.add(sending)
            sending.add_done_callback(self._ended)

    def _ended(self, sending: asyncio.Task[None]) -> None:
        self._sending.discard(sending)
        if sending.cancelled():  # Perhaps before its first step.
            self._about_to_send = False

    def _takes(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the dispatches of this loop are grouped: there is no other one by now."""
        with self._choosing:
            if self._loop is None or self._loop.is_closed():
                self._loop, self._sending, self._calls = loop, set(), 0
                self._about_to_send, self._over = False, None
                self._waiting.clear()
            return self._loop is loop

    async def drained(self) -> None:
        """Return when nothing is waiting or in flight."""
        while (self._calls or self._sending) and self._loop is asyncio.get_running_loop():
            if self._sending:
                await asyncio.wait(self._sending)
            else:
                self._over = self._over or asyncio.get_running_loop().create_future()
                await asyncio.wait([self._over])

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        self._about_to_send = False
        self._calls += 1
        try:
            while self._waiting:
                group = self._next_group()
                many = self._driver.enqueues_at_once > 1
                self._alone = many and len(group) == 1 and not self._waiting
                if self._waiting:
                    self._begin()
                if group:
                    await self._store(group)
        finally:
            # Not later: whoever was just answered may have more, and nobody else would send it.
            self._call_ended(loop)

    async def _store(self, group: list[Dispatch]) -> None:
        if not await self._stored(group):
            # One of them is at fault: the others must not suffer for it.
            for dispatch in group:
                if not dispatch.answers.done():
                    await self._stored([dispatch])

    async def _stored(self, group: list[Dispatch]) -> bool:
        """Whether every caller has its answer; a refused group of several has to be taken apart."""
        try:
            answers = await self._driver.enqueue(self._as_of_now(group))
        except PartlyUnavailable as error:
            _hand_out(group, error.answers, error.missing, error)
        except BaseException as error:
            if len(group) > 1 and not isinstance(error, _OF_ALL):
                return False
            for dispatch in group:
                if not dispatch.answers.done():
                    dispatch.answers.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            _hand_out(group, answers)
        return True

    def _as_of_now(self, group: list[Dispatch]) -> list[Record]:
        now = self._driver.clock.monotonic()
        return [
            record if record.delay <= 0 and record.key_ttl is None else _later(record, now - asked)
            for records, _, asked in group
            for record in records
        ]

    def _next_group(self) -> list[Dispatch]:
        group: list[Dispatch] = []
        size = 0
        free = self._driver.enqueues_at_once - self._calls + 1
        most = max(len(self._waiting) // free, WORTH_A_CALL)
        while self._waiting and size < LARGEST_GROUP and len(group) < most:
            dispatch = self._waiting.popleft()
            if not dispatch.answers.done():
                group.append(dispatch)
                size += len(dispatch.records)
        return group


def _later(record: Record, waited: float) -> Record:
    """The record as it would be written that much later; the dispatch still has its own."""
    ttl = record.key_ttl
    return msgspec.structs.replace(
        record,
        delay=max(record.delay - waited, 0.0),
        key_ttl=None if ttl is None else max(ttl - waited, 0.0),
    )


def _hand_out(
    group: list[Dispatch],
    answers: Answers,
    missing: frozenset[int] = frozenset(),
    error: Exception | None = None,
) -> None:
    """Tell every caller; those of whom an answer is missing get the error."""
    start = 0
    for records, future, _ in group:
        end = start + len(records)
        if not future.done():
            if error is not None and not missing.isdisjoint(range(start, end)):
                future.set_exception(error)
            else:
                future.set_result(answers[start:end])
        start = end
