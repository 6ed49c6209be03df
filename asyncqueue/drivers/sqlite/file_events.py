"""Being told by the kernel that a file was written to, so that nobody has to look all the time."""

from __future__ import annotations

import ctypes
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IN_MODIFY: Final = 0x2
BREATH: Final = 0.01
"""Seconds between two notices: a busy writer would wake the thread at every write."""
MUCH: Final = 65536


class FileEvents:
    """Calls ``notice`` in a thread of its own when a file is written to, soon but not at once.

    Raises OSError where the kernel cannot do that: only Linux can, and it has limits.
    """

    def __init__(self, path: Path, notice: Callable[[], object]) -> None:
        self.last = time.monotonic()
        self._notice = notice
        self._events = _watch(path)
        self._end = threading.Event()
        self._wake_up, self._alarm = os.pipe()
        self._thread = threading.Thread(
            target=self._run, name="asyncqueue-sqlite-events", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        os.write(self._alarm, b"x")
        self._thread.join()
        for descriptor in (self._events, self._wake_up, self._alarm):
            os.close(descriptor)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._events, select.POLLIN)
        poll.register(self._wake_up, select.POLLIN)
        while True:
            poll.poll()
            if self._end.is_set():
                return
            os.read(self._events, MUCH)
            self.last = time.monotonic()
            self._notice()
            self._end.wait(BREATH)


def _watch(path: Path) -> int:
    """The descriptor of an inotify instance for a file."""
    if sys.platform != "linux":
        raise OSError(f"{sys.platform} has no inotify.")
    libc = ctypes.CDLL(None, use_errno=True)
    events: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if events >= 0 and libc.inotify_add_watch(events, os.fsencode(path), IN_MODIFY) >= 0:
        return events
    number = ctypes.get_errno()
    if events >= 0:
        os.close(events)
    raise OSError(number, os.strerror(number), str(path))
