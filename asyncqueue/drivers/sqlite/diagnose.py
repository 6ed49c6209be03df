"""What ``asyncqueue doctor`` tells of an SQLite file."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from asyncqueue.drivers.sqlite.place import Place
    from asyncqueue.drivers.sqlite.store import Store

Finding = tuple[str, bool, str]
LEVELS: Final = ("OFF", "NORMAL", "FULL", "EXTRA")
SPARE: Final = 64 * 2**20
"""Bytes that should be free on the disk."""
LONG_LOG: Final = 256 * 2**20
"""Bytes of a write-ahead log that some connection must be holding back."""


def findings(store: Store, place: Place) -> list[Finding]:
    """What there is to say; the caller has seen that it can be written."""
    return [
        _file(place.path),
        _journal(store),
        _synchronous(place),
        _write_ahead_log(place.path),
        _disk(place.path),
    ]


def _file(path: Path) -> Finding:
    fine = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    size = path.stat().st_size
    text = f"{path}, {_mib(size)}, SQLite {sqlite3.sqlite_version}"
    return "file", fine, text if fine else f"{text}; its directory must be writable, too"


def _journal(store: Store) -> Finding:
    mode = store.value("diagnose.journal_mode")
    if mode == "wal":
        return "journal mode", True, "wal"
    return "journal mode", False, f"{mode}; wal is not possible here: is it a network file system?"


def _synchronous(place: Place) -> Finding:
    level = place.synchronous
    if LEVELS.index(level) >= LEVELS.index("FULL"):
        return "synchronous", True, f"{level}: a stored job survives a power failure"
    if level == "NORMAL":
        return "synchronous", True, "NORMAL: the last jobs before a power failure may be lost"
    return "synchronous", False, "OFF: a power failure may damage the file; use FULL or NORMAL"


def _write_ahead_log(path: Path) -> Finding:
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    if size <= LONG_LOG:
        return "write-ahead log", True, _mib(size)
    return "write-ahead log", False, f"{_mib(size)}; look for a program that never ends its reading"


def _disk(path: Path) -> Finding:
    free = shutil.disk_usage(path.parent).free
    text = f"{_mib(free)} free"
    return "disk", free >= SPARE, text if free >= SPARE else f"{text}; make room"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
