"""The processes of the demo: started, watched, started again when killed, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from asyncqueue.demo import folder as folders
from asyncqueue.demo import lifeline
from asyncqueue.demo.journal import Journal, counted_jobs, in_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Self

    from asyncqueue.demo.folder import Folder

ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end the demo."""
MOST_RESTARTS: Final = 10
PATIENCE: Final = 8.0
"""Seconds that processes have to end when they are asked to."""
_WEB: Final = "web application"


class DemoFailedError(Exception):
    """The demo cannot go on; the message says why."""


class Child:
    """One process. Its output goes to a log; it ends when this process is gone."""

    def __init__(self, name: str, arguments: list[str], folder: Folder, *, keep: int = -1) -> None:
        self.name = name
        self._log = folder.log(name)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - of our own modules
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder.directory,
                env=_environment(folder),
                pass_fds=() if keep < 0 else (keep,),
                # A Ctrl-C in the terminal reaches the demo alone, which then ends the others.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def end(self) -> int | None:
        """How it ended, as ``subprocess`` says it: minus the signal, or the code; None: not yet."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """Let it vanish, and return when it has."""
        self._process.kill()
        self._process.wait()

    def ended_by(self, deadline: float) -> bool:
        """Whether it has ended by then, on the monotonic clock."""
        try:
            self._process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def release(self) -> None:
        """Close what this process held open for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()


class Crew:
    """The web application and the workers. Leaving the block leaves none of them behind."""

    def __init__(self, folder: Folder, workers: int, say: Callable[[str], None]) -> None:
        self.restarts = 0
        self._folder = folder
        self._say = say
        self._journal = Journal(folder.journal)
        # This process keeps the listening socket: who connects while the web application is
        # down waits in line instead of being refused.
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._children: dict[str, Child] = {}
        self._names = [_WEB, *(f"worker {number}" for number in range(1, workers + 1))]

    @property
    def port(self) -> int:
        """Where the web application listens."""
        return self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        try:
            for name in self._names:
                self._start(name)
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_all()

    def roll(self) -> str:
        """Who they are, for whoever wants to do them harm."""
        return ", ".join(f"{name} (pid {child.pid})" for name, child in self._children.items())

    def watch(self) -> None:
        """Start again what somebody ended; :class:`DemoFailedError` for what broke down itself."""
        for name, child in tuple(self._children.items()):
            end = child.end()
            if end is None:
                continue
            if end > 0:
                raise DemoFailedError(
                    f"The {name} ended with code {end}. Its last words:\n{child.last_words()}"
                )
            self._replace(name, f"was ended from outside ({_ending(end)})")

    def kill_worker(self) -> None:
        """Kill the first worker with SIGKILL and start another in its place."""
        name = self._names[1]
        self._children[name].kill()
        self._replace(name, "was killed with SIGKILL, by the demo")

    def _start(self, name: str) -> Child:
        if name == _WEB:
            descriptor = self._listening.fileno()
            arguments = ["asyncqueue.demo.web", str(descriptor)]
            child = Child(name, arguments, self._folder, keep=descriptor)
        else:
            arguments = ["asyncqueue.worker", "asyncqueue.demo.jobs:worker"]
            child = Child(name, arguments, self._folder)
        self._children[name] = child
        return child

    def _replace(self, name: str, fate: str) -> None:
        gone = self._children[name]
        gone.release()
        self._journal.note_death(name, gone.pid)
        self.restarts += 1
        if self.restarts > MOST_RESTARTS:
            raise DemoFailedError(f"The {name} {fate}; that was once too often, giving up.")
        held = counted_jobs(len(in_hand(self._journal.entries(), gone.pid)))
        new = self._start(name)
        self._say(
            f"{name} (pid {gone.pid}) {fate}; it had {held} in hand; pid {new.pid} takes over"
        )

    def _end_all(self) -> None:
        with _uninterrupted():
            children = list(self._children.values())
            for child in children:
                child.terminate()
            deadline = time.monotonic() + PATIENCE
            for child in children:
                if not child.ended_by(deadline):
                    child.kill()
                child.release()
            self._children.clear()
            self._listening.close()
            self._journal.close()


@contextmanager
def _uninterrupted() -> Generator[None]:
    """For what is short and must be done to its end, or processes would be left behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(folder: Folder) -> dict[str, str]:
    package_root = str(folders.__file__).rpartition("/asyncqueue/demo/")[0]
    paths = [package_root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **os.environ,
        folders.VARIABLE: str(folder.directory),
        lifeline.VARIABLE: "1",
        # The demo as it is running now, wherever it was imported from.
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        # Some of the files that are parsed give rise to warnings: theirs, not ours.
        "PYTHONWARNINGS": "ignore",
    }


def _ending(end: int) -> str:
    return f"signal {-end}" if end < 0 else "it exited in an orderly way"
