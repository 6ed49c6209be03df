"""A caller's transaction holds whatever is dispatched within it: late jobs, batches and chains."""

from __future__ import annotations

import pytest

from asyncqueue import Context, Job, State

from ..recorder import PATIENCE


class Step(Job, name="WithinStep"):
    n: int = 0

    async def handle(self, ctx: Context) -> int:
        return self.n


@pytest.fixture
def driver(ledger):
    return ledger.driver


@pytest.mark.case("TXN-06")
@pytest.mark.parametrize("commits", [True, False])
async def test_all_of_it_appears_with_the_commit_or_none(
    queue, ledger, make_worker, clock, commits
):
    await queue.ready()
    batch = queue.batch(Step(1), Step(2)).then(Step(9))
    async with ledger.transaction(commits=commits) as connection:
        delayed = await queue.dispatch(Step(3), delay=60, within=connection)
        await batch.dispatch(within=connection)
        chain = await queue.chain(Step(4), Step(5)).dispatch(within=connection)
        assert await queue.size("default") == 0
        assert await queue.find_batch(batch.id) is None
    if not commits:
        assert (await queue.jobs()).items == []
        assert await queue.find_batch(batch.id) is None
        return
    assert (await delayed.status()).state is State.DELAYED
    info = await queue.find_batch(batch.id)
    assert (info.total, info.pending) == (2, 2)
    async with make_worker():
        assert await chain.result(PATIENCE) == 4
        clock.advance(60)
        assert await delayed.result(PATIENCE) == 3
    await make_worker(stop_when_empty=True).run()
    assert (await queue.find_batch(batch.id)).finished
    done = [job.result for job in (await queue.jobs(state="completed")).items]
    assert sorted(done) == [1, 2, 3, 4, 5, 9]
