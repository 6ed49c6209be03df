"""What SIGTERM, SIGINT and SIGHUP do to a worker process, from its first moment to its last.

One handler serves the whole life of the process, so there is no moment at which a signal meets
Python's own: a traceback from the middle of an import, or a silent death without a drain.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FORCING: Final = 3
"""Which request to stop ends the process at once."""
SETTLE_FIRST: Final = 0.1
SETTLE_SECOND: Final = 0.2
"""Seconds in which further signals count as the same: some senders send several at once."""

log = logging.getLogger("asyncqueue.worker")


class Signals:
    """Counts the requests to stop: the first drains, the second hurries, the third forces."""

    def __init__(self) -> None:
        self._installed = False
        self._count = 0
        self._counted_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Callable[[signal.Signals, int], None] | None = None
        self._leaving: int | None = None
        self._last_resort: int | None = None
        self.as_json = False
        """Whether the last words are to be a JSON object, as the logs are."""

    def install(self) -> None:
        """Handle the signals from now on; those that a supervisor held back arrive now."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in HANDLED:
            signal.signal(number, self._handle)
        if not self._installed:
            os.register_at_fork(
                before=_hold_back, after_in_parent=_let_in, after_in_child=_as_by_default
            )
        self._installed = True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def listen(
        self, loop: asyncio.AbstractEventLoop, listener: Callable[[signal.Signals, int], None]
    ) -> None:
        """From now on jobs may run: tell ``listener`` which request it is, on the loop."""
        self._loop = loop
        self._listener = listener

    def bound(self, seconds: float, text: str) -> None:
        """End the process with exit code 1 if it still lives this long after the first request.

        For a job that blocks the event loop, where nothing on the loop can bound it. The thread
        waits from the beginning: a handler may be called where no thread can be started.
        """
        waiting, self._last_resort = os.pipe()

        def wait() -> None:
            os.read(waiting, 1)
            time.sleep(seconds)
            self._end(1, text)

        threading.Thread(target=wait, name="asyncqueue-last-resort", daemon=True).start()

    def leave(self, code: int) -> None:
        """The worker has ended: from now on a signal cannot change the exit code."""
        self._leaving = code

    def _handle(self, number: int, _frame: object) -> None:
        if self._leaving is not None:
            if self._counts() and self._count >= FORCING:
                end_now(self._leaving, "")
        elif self._loop is None or self._listener is None:
            # Nothing is held yet, and whatever is being imported need not be waited for.
            self._end(0, f"{signal.Signals(number).name}: stopped before the worker started")
        elif self._counts():
            self._tell(signal.Signals(number))

    def _tell(self, number: signal.Signals) -> None:
        assert self._loop is not None  # noqa: S101 - _handle() looked
        assert self._listener is not None  # noqa: S101
        if self._count >= FORCING:
            self._end(1, f"{number.name} again: ended at once; leases decide what runs again")
        if self._last_resort is not None:
            os.write(self._last_resort, b"1")
        self._loop.call_soon_threadsafe(self._listener, number, self._count)

    def _end(self, code: int, text: str) -> None:
        end_now(code, f'{{"level":"error","message":"{text}"}}\n' if self.as_json else f"{text}\n")

    def _counts(self) -> bool:
        """Whether this signal is a request of its own."""
        now = time.monotonic()
        settling = (0.0, SETTLE_FIRST, SETTLE_SECOND)[min(self._count, 2)]
        if now - self._counted_at < settling:
            return False
        self._count += 1
        self._counted_at = now
        return True


_masks = threading.local()


def _hold_back() -> None:
    """Let no signal meet a forked process before it has its own handlers: it would be lost."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def _let_in() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _as_by_default() -> None:
    """A process that a job forks is not the worker: a signal must be able to end it."""
    for number in HANDLED:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
    _let_in()


def end_now(code: int, text: str) -> None:
    """End the process whatever it is doing; safe inside a signal handler."""
    if text:
        try:
            os.write(2, text.encode())
        except OSError:
            # Nobody reads it any more.
            code = code or 0
    os._exit(code)


def watch_lifeline(descriptor: int) -> None:
    """Ask this process to stop when the other end of this pipe closes: its supervisor died.

    A pipe tells that on every system, however the supervisor ended, and cannot miss it.
    """

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        log.warning("The supervisor is gone; stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="asyncqueue-lifeline", daemon=True).start()


SIGNALS: Final = Signals()
"""Those of this process."""
