"""Runs an example application under uvicorn, and its worker, as processes of their own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "docs" / "examples"


def until(condition: Callable[[], T], seconds: float = 60) -> T:
    """What the condition answers once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


class Program:
    """A module run in a folder, with its output in a file there."""

    def __init__(self, folder: Path, name: str, *arguments: str, **environment: str) -> None:
        self._output = folder / f"{name}.out"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("QUEUE_")}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **kept,
                    "PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY, EXAMPLES))),
                    **environment,
                },
            )

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; answers the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def ended(self) -> bool:
        return self.process.poll() is not None


@contextlib.contextmanager
def program(folder: Path, name: str, *arguments: str, **environment: str) -> Iterator[Program]:
    running = Program(folder, name, *arguments, **environment)
    try:
        yield running
    finally:
        if not running.ended():
            running.kill()


@contextlib.contextmanager
def serving(
    folder: Path, application: str, **environment: str
) -> Iterator[tuple[Program, httpx.Client]]:
    """The application, on a port that the kernel chose, and a client for it."""
    arguments = ("uvicorn", application, "--port", "0")
    with program(folder, "web", *arguments, **environment) as web:
        found = until(lambda: web.ended() or re.search(r"running on (http://[\d.:]+)", web.output))
        assert isinstance(found, re.Match), web.output
        with httpx.Client(base_url=found[1], timeout=10, trust_env=False) as client:
            yield web, client
