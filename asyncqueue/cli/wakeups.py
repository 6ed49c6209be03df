"""What a supervisor waits for: signals, its children's pipes, changed files, time."""

from __future__ import annotations

import os
import selectors
import signal
from typing import TYPE_CHECKING, Final

from asyncqueue.cli.signals import HANDLED

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGED: Final = 0
"""What stands in the pipe for changed files; signals stand for themselves."""


class Wakeups:
    """Turns signals into bytes in a pipe, so that nothing ever happens between two lines."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._selector.register(self._reader, selectors.EVENT_READ)

    def install(self) -> None:
        """Receive signals from now on."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (*HANDLED, signal.SIGCHLD):
            signal.signal(number, _noticed)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def watch(self, descriptor: int, call: Callable[[], None]) -> None:
        """Call when there is something to read here, once."""
        self._selector.register(descriptor, selectors.EVENT_READ, call)

    def forget(self, descriptor: int) -> None:
        """Watch this no longer; harmless if it is not watched."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def changed(self) -> None:
        """Files have changed; from whatever thread."""
        os.write(self._writer, bytes([CHANGED]))

    def wait(self, timeout: float | None) -> list[int]:
        """The numbers of the signals that came, and :data:`CHANGED`; none after the timeout."""
        numbers: list[int] = []
        for key, _ in self._selector.select(timeout):
            if key.fd == self._reader:
                numbers += os.read(self._reader, 4096)
            else:
                self.forget(key.fd)
                key.data()
        return numbers


def _noticed(_number: int, _frame: object) -> None:
    """The pipe has it."""
