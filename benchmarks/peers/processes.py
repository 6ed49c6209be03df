"""What the kernel tells about processes, from ``/proc``; empty where there is none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROC = Path("/proc")
_PARENT, _SESSION, _TIMES = 1, 3, slice(11, 15)
"""Places in /proc/PID/stat after the name of the program."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of these, and of their children that have ended."""
    ticks = sum(int(tick) for pid in pids for tick in _stat(pid)[_TIMES])
    return ticks / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """CPU time that all processes of the machine have used together."""
    try:
        line = (PROC / "stat").read_text().partition("\n")[0]
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The running children of a process."""
    return [other for other, stat in _all() if int(stat[_PARENT]) == pid]


def session(leader: int) -> list[int]:
    """All running processes of a session."""
    return [pid for pid, stat in _all() if int(stat[_SESSION]) == leader]


def peak_mib(pids: Iterable[int]) -> float:
    """The most memory that each of these ever had resident, added up."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            status = (PROC / str(pid) / "status").read_text()
            kib += sum(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    return kib / 1024


def _all() -> Iterator[tuple[int, list[str]]]:
    for entry in PROC.glob("[0-9]*"):
        if stat := _stat(int(entry.name)):
            yield int(entry.name), stat


def _stat(pid: int) -> list[str]:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
