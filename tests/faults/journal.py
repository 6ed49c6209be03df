"""What happened, told by those to whom it happened: one line each, in a file that all append to.

A line is one write to a file opened for appending, so no other process can split it, and what was
written stays when its writer is killed. Clocks are those of one machine.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

Event = Literal[
    # A producer is about to dispatch; was told that it is stored; was told that it is not.
    "attempted",
    "acknowledged",
    "refused",
    # A worker was given a claim.
    "claimed",
    # The body of a handler: its beginning, and the three ways in which it can end.
    "started",
    "finished",
    "cancelled",
    "raised",
    # A settlement was accepted, or refused as stale.
    "settled",
    "stale",
    # A `failed` hook, or a callback of a batch, was called.
    "called",
    # The process `pid` was ended from outside, or killed itself.
    "died",
]
BODY_ENDS = frozenset({"finished", "cancelled", "raised"})


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line."""

    event: Event
    at: float
    """Seconds of the monotonic clock, which all processes of a machine share."""
    wall: float
    pid: int
    id: str = ""
    """The id of the job."""
    run: int = 0
    """Which body of this process."""
    attempt: int = 0
    token: int = 0
    state: str = ""
    """To which a settlement moved the job; what a callback is called."""
    key: str = ""
    """What the job holds while it runs, where that is limited."""


class Journal:
    """Appends entries to a file. Each process, and each thread, may."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def note(
        self,
        event: Event,
        id: str = "",
        *,
        pid: int | None = None,
        run: int = 0,
        attempt: int = 0,
        token: int = 0,
        state: str = "",
        key: str = "",
    ) -> Entry:
        """Something happened, in this process unless told."""
        pid = os.getpid() if pid is None else pid
        entry = Entry(
            event, time.monotonic(), time.time(), pid, id, run, attempt, token, state, key
        )
        os.write(self._file, msgspec.json.encode(entry) + b"\n")
        return entry


class Reading:
    """A journal as far as it was read; each :meth:`more` reads on."""

    def __init__(self, path: Path) -> None:
        self.entries: list[Entry] = []
        self._path = path
        self._offset = 0
        self._decoder = msgspec.json.Decoder(Entry)

    def more(self) -> list[Entry]:
        """All entries, those that came since the last call included."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.entries += self._decoder.decode_lines(whole)
        return self.entries

    def of(self, *events: Event) -> list[Entry]:
        """The entries of these kinds that were read."""
        return [entry for entry in self.entries if entry.event in events]

    def ids(self, *events: Event) -> set[str]:
        """The jobs of which such an entry was read."""
        return {entry.id for entry in self.entries if entry.event in events}
