"""What happened in a run, in order, for those who want to understand how it broke."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from asyncqueue.testing.lab.loop import PROCESS

if TYPE_CHECKING:
    from collections.abc import Callable


class Journal:
    """Lines of a run. Jobs are called by their kind and their place in the order of dispatch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self._now = now
        self._names: dict[str, str] = {}
        self._kinds: Counter[str] = Counter()
        self.log = logging.Logger("asyncqueue.lab", logging.WARNING)  # noqa: LOG001 - of this run only
        self.log.addHandler(_Said(self))

    def note(self, text: str, process: str | None = None) -> None:
        """Write down that this happens now, by this process or the one that runs."""
        if process is None:
            current = PROCESS.get()
            process = "scenario" if current is None else current.name
        self.lines.append(f"{self._now():10.3f}  {process:<12} {text}")

    def name(self, job_id: str, kind: str) -> str:
        """What a job is called here from now on."""
        if job_id not in self._names:
            self._kinds[kind] += 1
            self._names[job_id] = f"{kind}#{self._kinds[kind]}"
        return self._names[job_id]

    def named(self, job_id: str) -> str:
        """What a job is called here."""
        return self._names.get(job_id, job_id)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class _Said(logging.Handler):
    """What workers log becomes part of the journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        for job_id, name in self._journal._names.items():  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            text = text.replace(job_id, name)
        self._journal.note(f"{record.levelname}: {text}")
