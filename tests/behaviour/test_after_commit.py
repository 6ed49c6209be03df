"""Dispatches that wait for the commit of a transaction around them, whatever store they go to."""

from __future__ import annotations

import pytest

from asyncqueue import Context, Job, Queue, Registry, Worker
from asyncqueue.drivers.sqlite import SqliteDriver


class Follows(Job, name="AfterCommitFollows"):
    why: str

    async def handle(self, ctx: Context) -> None: ...


@pytest.fixture
async def ledger(tmp_path):
    """A queue whose handlers have transactions."""
    driver = SqliteDriver(tmp_path / "ledger.db")
    async with Queue(driver, registry=Registry()) as ledger:
        yield ledger
    await driver.close()


@pytest.mark.case("TXN-09")
@pytest.mark.parametrize("fails", [False, True])
async def test_a_dispatch_waits_for_the_commit_and_never_follows_a_rollback(queue, ledger, fails):
    seen = []

    class Leads(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction():
                await queue.dispatch(Follows("commit"), queue="waits", after_commit=True)
                await queue.dispatch(Follows("now"), queue="at once", after_commit=False)
                seen.append((await queue.size("waits"), await queue.size("at once")))
                if fails:
                    raise ValueError

    ledger.registry.register(Leads)
    await ledger.dispatch(Leads())
    await Worker(ledger, stop_when_empty=True).run()
    assert seen == [(0, 1)]
    assert (await queue.size("waits"), await queue.size("at once")) == (0 if fails else 1, 1)


@pytest.mark.case("TXN-09")
async def test_without_a_transaction_nothing_waits(queue):
    await queue.dispatch(Follows("now"), after_commit=True)
    await queue.dispatch_many([Follows("now")], after_commit=True)
    await queue.dispatch_named("AfterCommitFollows", {"why": "now"}, after_commit=True)
    assert await queue.size("default") == 3
