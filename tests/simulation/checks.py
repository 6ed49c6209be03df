"""What must hold of every run, read from its journal and its store."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from asyncqueue.record import Filter

if TYPE_CHECKING:
    from asyncqueue.testing import LabRun

CLAIMED = re.compile(r"claimed (\S+), attempt (\d+)$")
SETTLED = re.compile(r"settled (\S+) as (\w+)$")
STOPPED = re.compile(r"stopped in ([\d.]+) s$")
FINAL = {"completed", "failed", "cancelled"}
DOUBLING = {"kill", "freeze", "shutdown", "duplicate", "clock"}
"""Faults after which a body may run again although it ran to its end, or most of the way."""
STALLING = {"freeze", "lost_reply", "unavailable", "clock"}
"""Faults that may hold a stop up."""


class History:
    """The journal of a run, counted."""

    def __init__(self, run: LabRun) -> None:
        self.text = str(run.journal)
        self.struck = {fault.kind for fault in run.striking.struck}
        self.claims: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.stops: list[float] = []
        for line in run.journal.lines:
            if found := CLAIMED.search(line):
                self.claims[found[1]] += 1
            elif (found := SETTLED.search(line)) and found[2] in FINAL:
                self.ends[found[1]] += 1
            elif found := STOPPED.search(line):
                self.stops.append(float(found[1]))

    def kinds(self) -> Counter[str]:
        """How many jobs of each kind were ever claimed."""
        return Counter(name.partition("#")[0] for name in self.claims)


async def check_run(run: LabRun, finished: Counter[str], *, all_settled: bool = True) -> None:
    """Everything that holds of every run, whatever its jobs.

    Not ``all_settled`` are those of which an operator cancels some, or some leave no record.
    """
    history = History(run)
    assert "CRITICAL" not in history.text
    assert "UNHANDLED" not in history.text
    twice = {name: count for name, count in history.ends.items() if count != 1}
    assert not twice, f"settled for good more than once: {twice}"
    for job_id, count in finished.items():
        name = run.journal.named(job_id)
        assert count <= history.claims[name], f"{name} ran {count} times"
        if not history.struck & DOUBLING:
            assert count == 1, f"{name} ran {count} times though its lease was never lost"
    if not history.struck & STALLING:
        assert all(seconds <= 6 for seconds in history.stops), f"stops took {history.stops}"
    assert await run.base.holders("sim") == [], "a permit was never given back"
    assert all(tally.pending == 0 for tally in await run.base.latches()), "a batch never ended"
    if all_settled and "(refused" not in history.text:
        ends = sum(history.ends.values())
        assert await run.base.count(Filter()) == ends, "something ended that nobody settled"
