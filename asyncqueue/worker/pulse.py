"""Tells from another thread whether an event loop is blocked, and by what."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import FrameType

BEAT: Final = 0.1
"""Seconds between two beats of a loop that is not blocked."""
_LIBRARY: Final = (sysconfig.get_path("stdlib"), "<frozen")


class Pulse:
    """The beat of the event loop that starts it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beaten = 0.0

    def start(self) -> None:
        """Beat from now on. Call it on the loop to be watched."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._beat()

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def silent_for(self) -> float:
        """Seconds since the loop last had its turn. Safe from any thread."""
        return max(time.monotonic() - self._beaten - BEAT, 0.0)

    def current_task(self) -> asyncio.Task[Any] | None:
        """What the loop is running at this moment, if it is an asyncio task."""
        return None if self._loop is None else asyncio.current_task(self._loop)

    def place(self) -> str:
        """``FILE:LINE in FUNCTION`` of the innermost code outside of the standard library."""
        innermost = frame = sys._current_frames().get(self._thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        while frame is not None and frame.f_code.co_filename.startswith(_LIBRARY):
            frame = frame.f_back
        return _describe(frame or innermost)

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        assert self._loop is not None  # noqa: S101 - start() sets it
        self._timer = self._loop.call_later(BEAT, self._beat)


def _describe(frame: FrameType | None) -> str:
    if frame is None:
        return "an unknown place"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
