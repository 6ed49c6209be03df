"""A job alone that is in a batch."""

from __future__ import annotations

import pytest

from asyncqueue import Context, Job, JobError
from asyncqueue.testing import run_job


class AloneLoad(Job):
    n: int = 0

    async def handle(self, ctx: Context) -> int:
        batch = await ctx.batch()
        await ctx.add_to_batch(*(AlonePart(n) for n in range(self.n)))
        return -1 if batch is None else batch.total


class AlonePart(Job):
    n: int

    async def handle(self, ctx: Context) -> None: ...


@pytest.mark.case("TST-08")
async def test_what_a_job_alone_adds_to_its_batch() -> None:
    ran = await run_job(AloneLoad(3), in_batch=True)
    ran.assert_completed(1)
    ran.assert_added_to_batch(AlonePart, times=3)
    assert [one.job for one in ran.added] == [AlonePart(0), AlonePart(1), AlonePart(2)]
    ran.dispatched.assert_pushed(AlonePart, times=3)
    with pytest.raises(AssertionError, match="AloneLoad should have been added to the batch"):
        ran.assert_added_to_batch(AloneLoad)


async def test_outside_of_a_batch_it_cannot_add() -> None:
    ran = await run_job(AloneLoad(1))
    ran.assert_retried(JobError)
    assert ran.added == ()
