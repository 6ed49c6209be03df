"""Runs the demo as its users do, and gets in its way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from asyncqueue.demo.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[2]
BAD_SYNTAX = "bad_syntax.py"
NOT_UTF8 = "not_utf8.txt"
LARGE = "large.py"


def until(condition: Callable[[], T], seconds: float = 60) -> T:
    """What the condition answers once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def plant_tree(root: Path, files: int) -> int:
    """Real source files, big enough to keep two workers busy, and two that cannot be indexed."""
    root.mkdir(parents=True)
    library = Path(sysconfig.get_path("stdlib"))
    sources = sorted(p for p in library.glob("*.py") if 20_000 < p.stat().st_size < 90_000)
    for number in range(files):
        source = sources[number % len(sources)]
        shutil.copy(source, root / f"{number:03}_{source.name}")
    (root / BAD_SYNTAX).write_text("print 'hello'\n")
    (root / NOT_UTF8).write_bytes(b"caf\xe9\n")
    (root / LARGE).write_text("# so large that it has to wait its turn\n" * 5000)
    return files + 3


class Demo:
    """A running demo."""

    def __init__(self, root: Path, temporary: Path, *arguments: str, **environment: str) -> None:
        temporary.mkdir(parents=True, exist_ok=True)
        self._temporary = temporary
        self._output = temporary / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "asyncqueue.demo", "--path", str(root), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(REPOSITORY),
                    "TMPDIR": str(temporary),
                    **environment,
                },
            )

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    @property
    def directory(self) -> Path | None:
        """Where its queue is, as long as it is there."""
        return next(self._temporary.glob("asyncqueue-demo-*"), None)

    @property
    def folder(self) -> Folder:
        return Folder(until(lambda: self.directory))

    def pids(self) -> dict[str, int]:
        """Its first processes, by name."""
        listed = until(lambda: re.search(r"processes: (.*)\n", self.output))
        return {
            name: int(pid)
            for name, pid in re.findall(r"([a-z][a-z0-9 ]+) \(pid (\d+)\)", listed[1])
        }

    def all_pids(self) -> set[int]:
        """Every process that its output names."""
        return {int(pid) for pid in re.findall(r"pid (\d+)", self.output)}

    def ended(self) -> int:
        """Its exit code; it has a bounded time to get there."""
        try:
            return self.process.wait(60)
        finally:
            self.stop()

    def stop(self) -> None:
        """End it, whatever it is doing."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)


def alive(pid: int) -> bool:
    """Whether it runs; who has ended and was not fetched by its parent yet does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # No /proc here, or it has just ended.
        return not Path("/proc/self").exists()
    return state != "Z"
