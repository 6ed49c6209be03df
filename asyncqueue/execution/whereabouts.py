"""Where a handler is at this moment, in its coroutine or in its thread."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import sysconfig
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_OURS: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - as in frames
_STANDARD: Final = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "<frozen")
_INSTALLED: Final = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))

_threads: Final[dict[asyncio.Task[Any] | None, int]] = {}
"""In which thread the plain function of an asyncio task runs."""


def noting_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """``function``, to be called in a thread for the current asyncio task."""
    task = asyncio.current_task()

    def noted() -> Any:
        _threads[task] = threading.get_ident()
        try:
            return function()
        finally:
            _threads.pop(task, None)

    return noted


def place_of(task: asyncio.Task[Any]) -> str:
    """``FILE:LINE in FUNCTION`` of what the task is doing, in the application's own code.

    Where none of it is the application's, the outermost that is not ours: what we called. Empty
    where nothing can be told.
    """
    frames = [*_frames_of_coroutine(task.get_coro()), *_frames_of_thread(_threads.get(task))]
    called = [frame for frame in frames if not _within(frame, (_OURS, *_STANDARD))]
    own = [frame for frame in called if not _within(frame, _INSTALLED)]
    frame = next(iter([*own[-1:], *called[:1], *frames[-1:]]), None)
    if frame is None:
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _frames_of_coroutine(coroutine: Any) -> list[FrameType]:
    """Those that wait for each other, the innermost last."""
    frames: list[FrameType] = []
    while inspect.iscoroutine(coroutine):
        if coroutine.cr_frame is not None:
            frames.append(coroutine.cr_frame)
        coroutine = coroutine.cr_await
    return frames


def _frames_of_thread(ident: int | None) -> list[FrameType]:
    """Its stack, the innermost last."""
    stack: list[FrameType] = []
    frame = sys._current_frames().get(ident or 0)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    return stack[::-1]


def _within(frame: FrameType, folders: tuple[str, ...]) -> bool:
    return frame.f_code.co_filename.startswith(folders)
