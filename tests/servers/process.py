"""A handle on a private server process: started for a test, and gone when the tests are."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PATIENCE: Final = 60.0
"""Seconds within which a server must answer, or end."""
BETWEEN_LOOKS: Final = 0.005
PORTS: Final = (10_000, 21_999)
"""Of private servers. What they need 10,000 above is below the kernel's own range as well."""
TRIES: Final = 100
_choice: Final = (
    random.SystemRandom()
)  # What tests seed must not make all processes choose the same.

# Runs first in the child: changes the account if it is told to, asks the kernel for a SIGKILL when
# the tests die, and becomes the server. A `preexec_fn` may not be used where threads run.
_LAUNCH: Final = """
import ctypes, os, sys
parent, user, group, *command = sys.argv[1:]
libc = ctypes.CDLL(None)
if user:
    os.setgroups([]); os.setgid(int(group)); os.setuid(int(user))
if hasattr(libc, "prctl"):
    libc.prctl(1, 9, 0, 0, 0)
if os.getppid() != int(parent):
    sys.exit("the tests have ended")
os.execv(command[0], command)
"""


class ServerError(Exception):
    """A server did not start or did not end; the message holds the end of its log."""


def free_port(*, above: int = 0) -> int:
    """A port of the loopback interface that nobody uses at this moment.

    It is taken from below those that the kernel gives to connections, so that none of them has it
    by the time the server comes; at random, so that tests that run side by side do not meet. With
    ``above`` the port so many above it is free, too.
    """
    for _ in range(TRIES):
        port = _choice.randint(*PORTS)
        if _is_free(port) and (not above or _is_free(port + above)):
            return port
    raise ServerError(f"None of {TRIES} ports between {PORTS[0]} and {PORTS[1]} was free.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: the last connections of one that has gone are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class ServerProcess:
    """A server that is a child of the tests. Use it from the main thread only.

    ``command`` begins with the absolute path of the program. ``answers`` is asked, again and
    again, whether the server is ready; it must not block for long. ``log`` takes what the server
    prints. ``account`` is the user and group to run as, for servers that refuse to be root's.
    ``stop_signal`` is how the server is asked to end in good order. The kernel kills it when the
    thread that started it ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        answers: Callable[[], bool],
        log: Path,
        account: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._answers = answers
        self._account = account
        self._environment = environment
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._running.pid

    def start(self) -> None:
        """Start it, and return when it answers."""
        if self.running:
            raise ServerError(f"{self.command[0]} runs already.")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._launch(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if self._environment is None else dict(self._environment),
                start_new_session=True,  # Ctrl-C is for the tests, which then end it themselves.
            )
        try:
            self._until_it_answers()
        except BaseException:
            self.kill()
            raise

    def pause(self) -> None:
        """Stop it in its tracks: connections stay open and pass no byte, new ones too."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        self._running.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9. Harmless when it has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end in good order. Harmless when it has ended."""
        if self.running:
            self.resume()
        try:
            self._end(self._stop_signal)
        except ServerError:
            self.kill()
            raise

    def restart(self) -> None:
        """Stop it and start it with the same command, hence on the same port."""
        self.stop()
        self.start()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            raise ServerError(f"{self.command[0]} does not run.{self._end_of_log()}")
        return self._child

    def _launch(self) -> list[str]:
        account = ["", ""] if self._account is None else [str(id) for id in self._account]
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH]
        return [*launch, str(os.getpid()), *account, *self.command]

    def _until_it_answers(self) -> None:
        patient_until = time.monotonic() + PATIENCE
        while not self._answers():
            if not self.running:
                raise ServerError(f"{self.command[0]} ended at once.{self._end_of_log()}")
            if time.monotonic() > patient_until:
                raise ServerError(f"{self.command[0]} does not answer.{self._end_of_log()}")
            time.sleep(BETWEEN_LOOKS)

    def _end(self, how: signal.Signals) -> None:
        child = self._child
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(how)
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"{self.command[0]} does not end.{self._end_of_log()}") from error

    def _end_of_log(self) -> str:
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return f"\n{text[-2000:]}"
