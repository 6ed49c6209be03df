"""Where files are kept in memory: a disk is waited for, and new files on one are dear."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
ROOM: Final = 1 << 30
"""Bytes; the files of a whole run are a third of that."""


def in_memory() -> Path | None:
    """The folder for such files; None where there is none, or no room."""
    return MEMORY if _has_room(MEMORY) else None


def _has_room(folder: Path) -> bool:
    """Whether files, programs among them, can be kept there."""
    if not os.access(folder, os.W_OK):
        return False
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize >= ROOM and not state.f_flag & os.ST_NOEXEC
