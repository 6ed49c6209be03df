"""A clock that a test sets for several processes, at the same moment for all of them."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIZE = struct.calcsize("d")


class ClockFile:
    """How many seconds the wall clock is ahead, in a file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            self._seconds = mmap.mmap(file.fileno(), SIZE)

    def ahead(self) -> float:
        """As it is now."""
        return struct.unpack("d", self._seconds[:])[0]

    def step(self, seconds: float) -> None:
        """Set the clock so much forward, or back."""
        self._seconds[:] = struct.pack("d", self.ahead() + seconds)
