"""Transactions of a handler that end with the completion of its job."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from asyncqueue.after_commit import collect_after_commit
from asyncqueue.errors import DriverError, LeaseLost
from asyncqueue.execution.outcome import Completed
from asyncqueue.record import State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.base import Driver
    from asyncqueue.execution.run import Run
    from asyncqueue.execution.runner import Runner


@contextlib.asynccontextmanager
async def completing(runner: Runner, driver: Driver, run: Run) -> AsyncGenerator[Any]:
    """A transaction of the store that ends with the completion of this run."""
    _refuse_to_complete(run)
    verdict = runner.judge(run, Completed())
    assert verdict is not None  # noqa: S101 - a completion is always settled
    async with collect_after_commit(driver) as waiting:
        async with _alone(run), driver.transaction(verdict.settlement) as connection:
            waiting.connection = connection
            yield connection
            _refuse_to_complete(run)
            runner.follow(verdict, run.rest)  # It may have changed inside the block.
        run.settled = True
        verdict.duration = runner.clock.monotonic() - run.started
        runner.report.settled(verdict)
        runner.report.followed(verdict)
        counted = verdict.settlement.counted
        if counted is not None:
            runner.report.counted(counted, State.COMPLETED, None)


@contextlib.asynccontextmanager
async def _alone(run: Run) -> AsyncGenerator[None]:
    """One transaction of a run at a time: a second would wait for the lock of the first."""
    if run.transacting:
        raise DriverError(
            f"{run.claim.name} {run.claim.id} is inside ctx.transaction() already; use the "
            "connection that the block has, or end it first."
        )
    run.transacting = True
    try:
        yield
    finally:
        run.transacting = False


def _refuse_to_complete(run: Run) -> None:
    """Raise LeaseLost for a run that ended, or must end otherwise even if it swallows that."""
    if run.finished or run.settled:
        raise LeaseLost(f"{run.claim.name} {run.claim.id} is not running any more")
    if run.cancelled.cause in {"timeout", "cancelled", "lease_lost"}:
        raise LeaseLost(
            f"{run.claim.name} {run.claim.id} was interrupted ({run.cancelled.cause}): it cannot "
            "complete any more"
        )
