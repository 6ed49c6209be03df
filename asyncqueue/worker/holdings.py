"""The claims that a worker holds: from the claim until its settlement is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncqueue.execution.run import Run
from asyncqueue.record import Claim

if TYPE_CHECKING:
    from collections.abc import Callable


class Holding(msgspec.Struct, eq=False):
    """A claim, and its run once it has started."""

    claim: Claim
    run: Run | None = None


class Holdings:
    """All claims of a worker by job id.

    Written by the event loop only; the heartbeat's thread reads snapshots.
    """

    def __init__(self) -> None:
        self._held: dict[str, Holding] = {}
        # Asked for every job, more than once: no function of Python stands around it.
        self.get: Callable[[str], Holding | None] = self._held.get
        """The holding of a job, by its id."""

    def __len__(self) -> int:
        return len(self._held)

    def add(self, claim: Claim) -> Holding:
        """A claim came in."""
        holding = self._held[claim.id] = Holding(claim)
        return holding

    def drop(self, claim: Claim) -> None:
        """A claim was settled, or is left to its lease."""
        holding = self._held.get(claim.id)
        if holding is not None and holding.claim.token == claim.token:
            del self._held[claim.id]

    def snapshot(self) -> list[Holding]:
        """All of them, now."""
        return list(self._held.values())

    def runs(self) -> list[Run]:
        """Those that have started, now."""
        return [holding.run for holding in self.snapshot() if holding.run is not None]
