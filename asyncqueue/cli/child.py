"""One worker process, as its supervisor sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from asyncqueue.cli.signals import HANDLED

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

BRIEF_LIFE: Final = 1.0
"""A child that ends within this many seconds of being ready counts as crashed."""


class Child:
    """A fresh interpreter that runs one worker.

    It holds the read end of a pipe that only the supervisor writes to, so it notices when the
    supervisor is gone; and the write end of another, to say that it is ready.
    """

    def __init__(self, arguments: Sequence[str], *, brief: bool, keep_bytecode: bool) -> None:
        self.ready = False
        self.ready_pipe, ready = os.pipe()
        lifeline, self._lifeline = os.pipe()
        command = [
            sys.executable, "-m", "asyncqueue.worker",
            "--child", "--ready", str(ready), "--lifeline", str(lifeline),
            *(["--brief"] if brief else []), *arguments,
        ]  # fmt: skip
        try:
            self._process = _spawn(command, (ready, lifeline), keep_bytecode=keep_bytecode)
        finally:
            os.close(ready)
            os.close(lifeline)
        self._since = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def crashed(self) -> bool:
        """Whether it ended before it was of any use."""
        return not self.ready or time.monotonic() - self._since < BRIEF_LIFE

    def heard(self) -> None:
        """Its pipe says something: that it is ready, or that it will never be."""
        if os.read(self.ready_pipe, 1):
            self.ready = True
            self._since = time.monotonic()

    def ended(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        code = self._process.poll()
        if code is not None:
            os.close(self.ready_pipe)
            os.close(self._lifeline)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; it may have ended meanwhile."""
        self._process.send_signal(number)


def _spawn(
    command: list[str], descriptors: tuple[int, ...], *, keep_bytecode: bool
) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    if not keep_bytecode:
        # Python takes bytecode for current if the source has the same size and second.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # The child inherits the held back signals, and lets them in when its handlers stand: none
    # can meet an interpreter that is still starting. Its own process group keeps the terminal's
    # Ctrl-C from reaching it beside the supervisor's: two signals would skip the grace.
    with _held_back():
        return subprocess.Popen(  # noqa: S603 - ourselves
            command, pass_fds=descriptors, process_group=0, env=environment
        )


@contextlib.contextmanager
def _held_back() -> Generator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
