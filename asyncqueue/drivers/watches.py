"""How those who wait hear that something may have happened."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class Watch:
    """A latch that rings when something may have happened to one of its topics.

    Topics are ``queue:NAME`` (a job may be claimable there, or it was paused), ``job:ID`` (it may
    have finished) and ``worker:ID`` (one of its jobs may have been cancelled). A ring between
    two waits is remembered, so :meth:`clear`, look, :meth:`wait` misses nothing.
    """

    def __init__(self, topics: Iterable[str], watches: Watches | None = None) -> None:
        self.topics = frozenset(topics)
        self._watches = watches
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._event = asyncio.Event()
        self._woken: asyncio.Future[None] | None = None
        self._rung = False

    def ring(self) -> None:
        """Wake the waiter, from whatever thread."""
        if self._rung:
            return
        self._rung = True
        # The loop of a waiter that is gone may be closed: nobody is left to wake.
        with contextlib.suppress(RuntimeError):
            if threading.get_ident() == self._thread:
                self._set()
            else:
                self._loop.call_soon_threadsafe(self._set)

    @property
    def rung(self) -> bool:
        """Whether it rang since :meth:`clear`."""
        return self._event.is_set()

    def clear(self) -> None:
        """Forget the rings until now: call it before you look."""
        self._rung = False
        self._event.clear()

    async def wait(self, timeout: float | None) -> None:
        """Return when it rang since :meth:`clear`, or after ``timeout`` seconds."""
        if not self._event.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._event.wait()

    async def wait_or(self, other: asyncio.Future[Any], timeout: float) -> None:
        """As :meth:`wait`; return when the other is done, too."""
        if self._event.is_set() or other.done():
            return
        woken = self._woken = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._wake)
        other.add_done_callback(self._wake)
        try:
            await woken
        finally:
            timer.cancel()
            other.remove_done_callback(self._wake)
            self._woken = None

    def _wake(self, _: object = None) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _set(self) -> None:
        self._event.set()
        self._wake()

    def close(self) -> None:
        """Stop watching."""
        if self._watches is not None:
            self._watches.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Watches:
    """The open watches of one store, by topic. Safe from any thread."""

    idle: bool = True
    """True while there is none: drivers ask before they make up topics to ring."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, set[Watch]] = {}

    def __len__(self) -> int:
        return len({watch for watches in tuple(self._open.values()) for watch in tuple(watches)})

    def open(self, topics: Iterable[str]) -> Watch:
        """A new watch on these topics."""
        watch = Watch(topics, self)
        with self._lock:
            for topic in watch.topics:
                self._open.setdefault(topic, set()).add(watch)
            self.idle = not self._open
        return watch

    def discard(self, watch: Watch) -> None:
        """Forget this watch."""
        with self._lock:
            for topic in watch.topics:
                watches = self._open.get(topic, set())
                watches.discard(watch)
                if not watches:
                    self._open.pop(topic, None)
            self.idle = not self._open

    def topics(self) -> set[str]:
        """What is watched at this moment."""
        with self._lock:
            return set(self._open)

    def on(self, topic: str) -> tuple[Watch, ...]:
        """The watches on this topic."""
        return tuple(self._open.get(topic, ()))

    def ring(self, topics: Iterable[str]) -> None:
        """Ring every watch on one of these topics."""
        for topic in topics:
            for watch in self.on(topic):
                watch.ring()

    def ring_all(self) -> None:
        """Ring every watch: something changed and nobody knows what."""
        for watches in tuple(self._open.values()):
            for watch in tuple(watches):
                watch.ring()
