"""What handlers did, line by line, told by the handlers themselves and not by the queue.

The demo counts from it which jobs ran how often, so the queue cannot testify in its own cause.
Each line is one write to a file opened for appending, which no other process can split; what
was written stays when the writer is killed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

Event = Literal["started", "done", "again", "failed", "interrupted", "died"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. ``died`` tells that somebody ended the process ``pid``, whose name is ``path``."""

    event: Event
    pid: int
    path: str
    attempt: int = 0


class Journal:
    """Appends entries to a file. Each process, and each thread, may."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def note(self, event: Event, path: str, attempt: int) -> None:
        """Something happened to a job in this process."""
        self._append(Entry(event, os.getpid(), path, attempt))

    def note_death(self, name: str, pid: int) -> None:
        """Somebody ended this process."""
        self._append(Entry("died", pid, name))

    def entries(self) -> list[Entry]:
        """All lines so far."""
        return read(self._path)

    def _append(self, entry: Entry) -> None:
        os.write(self._file, msgspec.json.encode(entry) + b"\n")


def read(path: Path) -> list[Entry]:
    """The entries of a journal."""
    return msgspec.json.Decoder(Entry).decode_lines(path.read_bytes())


def counted_jobs(number: int) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number:,} job{'' if number == 1 else 's'}"


def in_hand(entries: list[Entry], pid: int) -> set[tuple[str, int]]:
    """The runs, by path and attempt, that this process began and whose end was not stored.

    A run that failed for good and was begun again all the same ended too late to be stored.
    """
    runs: set[tuple[str, int]] = set()
    begun = {(entry.path, entry.attempt) for entry in entries if entry.event == "started"}
    for entry in entries:
        if entry.pid != pid or entry.event == "died":
            continue
        if entry.event == "started":
            runs.add((entry.path, entry.attempt))
        elif entry.event != "failed" or (entry.path, entry.attempt + 1) not in begun:
            runs.discard((entry.path, entry.attempt))
    return runs
