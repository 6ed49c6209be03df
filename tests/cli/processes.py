"""Worker commands as processes of their own, and reading what they say."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

import asyncqueue

if TYPE_CHECKING:
    import signal

ROOT = Path(asyncqueue.__file__).parents[1]
PATIENCE = 60.0
"""Seconds to wait for a line or an end; nothing takes this long unless it is broken."""


class Process:
    def __init__(
        self,
        folder: Path,
        args: tuple[str, ...],
        environment: dict[str, str],
        module: str = "asyncqueue.worker",
    ) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *args],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [
            self._read(self.popen.stdout, self.out),
            self._read(self.popen.stderr, self.err),
        ]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def until(self, text: str) -> str:
        """The next line, of either stream, that contains this."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"{text!r} was never said:\n{self.said}") from None
            if line is None and self.popen.poll() is not None:
                raise AssertionError(f"{text!r} was not said before the end:\n{self.said}")
            if line is not None and text in line:
                return line

    def until_all(self, *texts: str) -> None:
        """Wait for as many further lines, each with one of these, in whatever order they come."""
        missing = list(texts)
        while missing:
            line = self.until("")
            for text in missing:
                if text in line:
                    missing.remove(text)
                    break

    def ended(self) -> int:
        """Its exit code, when it has ended and all was read."""
        code = self.popen.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.ended()

    @property
    def said(self) -> str:
        return "\n".join([*self.out, "--", *self.err])

    def _read(self, stream: IO[str] | None, lines: list[str]) -> threading.Thread:
        assert stream is not None

        def read() -> None:
            with stream:
                for line in stream:
                    lines.append(line.rstrip("\n"))
                    self._lines.put(line.rstrip("\n"))
            self._lines.put(None)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread
