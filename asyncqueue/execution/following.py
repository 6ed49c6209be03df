"""What follows a job: the next links of its chain, or the catch of the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue import chaining
from asyncqueue.errors import DriverError
from asyncqueue.links import Cause
from asyncqueue.record import Filter, State

if TYPE_CHECKING:
    import logging

    from asyncqueue.drivers.base import Driver
    from asyncqueue.execution.verdict import Verdict
    from asyncqueue.links import Rest
    from asyncqueue.sealing import Seal

TURN: Final = 30.0
"""Seconds, above what a hook may take, that it may wait for its turn."""


def follow(verdict: Verdict, rest: Rest | None, seal: Seal, *, hooks_apart: bool) -> Verdict:
    """Let the rest of a chain be stored in the step that stores this verdict.

    ``hooks_apart`` says that ``failed`` hooks are called beside other jobs: the catch of the chain
    has to wait for that of this job then, whichever process takes it.
    """
    if rest is None:
        return verdict
    settlement = verdict.settlement
    if settlement.state is State.COMPLETED and rest.links:
        records, settlement.latches = chaining.begin(rest)
        settlement.follow_ups = seal.closed(records)
    elif settlement.state is State.FAILED and rest.catch is not None:
        records = [chaining.catch(rest.catch, Cause(verdict.claim.id, settlement.error or ""))]
        run = verdict.run
        if hooks_apart and run is not None and run.plan.has_failed_hook:
            verdict.hook_job, stored = chaining.after_hook(records[0], run.longest_hook + TURN)
            records, settlement.latches = stored
        settlement.follow_ups = seal.closed(records)
    return verdict


async def hook_ended(verdict: Verdict, driver: Driver, log: logging.Logger) -> None:
    """The ``failed`` hook of this job has ended: let the catch of its chain begin."""
    if verdict.hook_job is None:
        return
    try:
        await driver.cancel(Filter(ids=(verdict.hook_job,)), 0.0)
    except DriverError as error:
        log.warning(
            "The catch of the chain of %s %s waits for up to a minute longer: %s",
            verdict.claim.name,
            verdict.claim.id,
            error,
        )
