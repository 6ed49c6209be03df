"""What follows a job: the next links of its chain, or the catch of the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue import chaining
from asyncqueue.links import Cause
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.execution.verdict import Verdict
    from asyncqueue.links import Rest
    from asyncqueue.sealing import Seal


def follow(verdict: Verdict, rest: Rest | None, seal: Seal) -> Verdict:
    """Let the rest of a chain be stored in the step that stores this verdict."""
    settlement = verdict.settlement
    if rest is None:
        return verdict
    if settlement.state is State.COMPLETED and rest.links:
        records, settlement.latches = chaining.begin(rest.links, rest.catch)
        settlement.follow_ups = seal.closed(records)
    elif settlement.state is State.FAILED:
        cause = Cause(verdict.claim.id, settlement.error or "")
        records, settlement.latches = chaining.catch(rest, cause)
        settlement.follow_ups = seal.closed(records)
    return verdict
