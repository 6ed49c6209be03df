"""The progress bar: in place on a terminal, a line every second elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncqueue.demo.client import Progress

WIDTH: Final = 30
_WIPE: Final = "\r\x1b[K"


class Bar:
    """Shows how far the indexing is, and says what happens meanwhile."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._in_place = sys.stdout.isatty()
        self._full, self._empty = _shades()
        self._began = time.monotonic()
        self._next_line = 0.0

    def show(self, progress: Progress) -> None:
        """Draw it; on anything but a terminal, once a second at most."""
        if self._in_place:
            columns = shutil.get_terminal_size().columns
            self._write(_WIPE + self._line(progress)[: columns - 1])
        elif time.monotonic() >= self._next_line or progress.ended >= self._total:
            self._next_line = time.monotonic() + 1
            self._write(self._line(progress) + "\n")

    def say(self, text: str) -> None:
        """A line of its own."""
        self._write(f"{_WIPE if self._in_place else ''}  {text}\n")

    def end(self) -> None:
        """Leave the bar as it is and go on below it."""
        if self._in_place:
            self._write("\n")

    def _line(self, progress: Progress) -> str:
        share = progress.ended / self._total
        filled = int(WIDTH * share)
        rate = progress.ended / max(time.monotonic() - self._began, 0.001)
        return (
            f"  {self._full * filled}{self._empty * (WIDTH - filled)} {share:4.0%}"
            f"  {progress.ended:,} of {self._total:,}  {rate:,.0f} jobs/s"
            f"  {progress.running} running  {progress.failed} failed"
        )

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _shades() -> tuple[str, str]:
    try:
        "█░".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#", "."
    return "█", "░"
