"""``ctx.transaction()`` and ``within=``: the job and the caller's writes together, or neither."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from functools import partial

import pytest

from asyncqueue import (
    Context,
    DriverError,
    DriverUnavailable,
    Job,
    JobFailed,
    JobProcessed,
    JobQueued,
    JobRetrying,
    LeaseLost,
    Queue,
    Registry,
    State,
    TransactionUnsupported,
    Worker,
)
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.record import Settlement, Source

from ..recorder import PATIENCE, Recorder, until


@pytest.fixture
def driver(ledger):
    return ledger.driver


@pytest.fixture
async def rows(ledger, queue):
    """What handlers wrote."""
    await queue.ready()
    await ledger.create()
    return ledger.rows


@pytest.fixture
def insert(ledger):
    """What handlers write with."""
    return ledger.insert


async def test_writes_and_completion_are_one_commit(queue, make_worker, events, rows, insert):
    class Pays(Job):
        async def handle(self, ctx: Context) -> str:
            async with ctx.transaction() as connection:
                await insert(connection, ctx.job_id)
                assert await rows() == []
            assert await rows() == [ctx.job_id]
            assert (await queue.status(ctx.job_id)).state is State.COMPLETED
            return "not stored"

    handle = await queue.dispatch(Pays())
    async with make_worker():
        assert await handle.result(PATIENCE) is None
        await events.wait_for(JobProcessed)
    assert await rows() == [handle.id]
    assert len(events.of(JobProcessed)) == 1
    assert (await handle.status()).attempts == 1


async def test_an_error_in_the_block_rolls_both_back(queue, make_worker, events, rows, insert):
    class Pays(Job, backoff=0):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await insert(connection, f"attempt {ctx.attempt}")
                if ctx.attempt == 1:
                    raise ValueError("broken")

    await queue.dispatch(Pays())
    async with make_worker():
        await events.wait_for(JobProcessed)
    assert await rows() == ["attempt 2"]
    assert len(events.of(JobRetrying)) == 1


async def test_an_error_after_the_block_changes_nothing_and_is_logged(
    queue, make_worker, events, rows, insert, caplog
):
    class Pays(Job, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await insert(connection, "paid")
            raise ValueError("too late")

    handle = await queue.dispatch(Pays())
    async with make_worker():
        await until(lambda: "too late" in caplog.text)
    assert (await handle.status()).state is State.COMPLETED
    assert events.of(JobFailed) == []
    assert await rows() == ["paid"]


async def test_a_cancellation_in_the_block_rolls_both_back(queue, make_worker, rows, insert):
    inside = asyncio.Event()

    class Pays(Job):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await insert(connection, "paid")
                inside.set()
                await asyncio.Event().wait()

    handle = await queue.dispatch(Pays())
    async with make_worker():
        await inside.wait()
    info = await handle.status()
    assert (info.state, info.attempts) == (State.PENDING, 0)
    assert await rows() == []


@pytest.mark.parametrize("begins", ["before", "after"])
async def test_a_cancellation_that_is_swallowed_cannot_be_completed_any_more(
    queue, make_worker, events, rows, insert, begins
):
    refused = []

    class Stubborn(Job, name="StubbornlyPaying"):
        async def handle(self, ctx: Context) -> None:
            try:
                if begins == "after":
                    await self.swallow(ctx)
                async with ctx.transaction() as connection:
                    await insert(connection, "paid")
                    if begins == "before":
                        await self.swallow(ctx)
            except LeaseLost as error:
                refused.append(str(error))

        async def swallow(self, ctx: Context) -> None:
            """What an operator's cancellation does; the row of the job may be locked."""
            ctx._host.interrupt("cancelled", None)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    assert (await run_alone(queue, make_worker, Stubborn)).state is State.CANCELLED
    assert "was interrupted (cancelled)" in refused[0]
    assert await rows() == []
    assert events.of(JobProcessed) == []


async def test_a_commit_that_fails_is_a_failure(queue, driver, make_worker, rows, insert):
    sound, failed = driver.transaction, []

    @contextlib.asynccontextmanager
    async def transaction(settlement):
        async with sound(settlement) as connection:
            yield connection
            if not failed:
                failed.append(settlement.id)
                raise DriverUnavailable("the store went away")

    class Pays(Job, name="PaysAgain", backoff=0):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await insert(connection, f"attempt {ctx.attempt}")

    driver.transaction = transaction
    info = await run_alone(queue, make_worker, Pays)
    assert (info.state, info.attempts) == (State.COMPLETED, 2)
    assert await rows() == ["attempt 2"]


async def test_a_job_is_completed_once_and_by_itself(
    queue, make_worker, clock, events, rows, insert
):
    kept, refused = [], []

    async def completes(ctx: Context) -> None:
        try:
            async with ctx.transaction() as connection:
                await insert(connection, ctx.job_name)
        except LeaseLost as error:
            refused.append(str(error))

    class Pays(Job, name="PaysOnce"):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction():
                clock.advance(5)
            await completes(ctx)

    class Ends(Job, name="EndsByItself"):
        async def handle(self, ctx: Context) -> None:
            kept.append(ctx)

    await run_alone(queue, partial(make_worker, lease=600), Pays)
    await run_alone(queue, make_worker, Ends)
    await completes(kept[0])
    assert len(refused) == 2
    assert all("is not running any more" in text for text in refused)
    assert await rows() == []
    assert next(event.duration for event in events.of(JobProcessed)) == pytest.approx(5, abs=0.5)


async def test_a_stop_after_the_commit_does_not_undo_it(queue, make_worker, events, rows, insert):
    committed = asyncio.Event()

    class Pays(Job):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await insert(connection, "paid")
            committed.set()
            await asyncio.Event().wait()

    handle = await queue.dispatch(Pays())
    async with make_worker():
        await committed.wait()
    assert (await handle.status()).state is State.COMPLETED
    assert len(events.of(JobProcessed)) == 1


async def test_a_lost_lease_rolls_both_back(
    queue, driver, make_worker, clock, rows, insert, caplog
):
    """Somebody else has the job by now: the writes of this one never happened."""
    refused = []
    thief = driver.clone()
    thief.clock = clock
    await thief.open()

    class Pays(Job):
        async def handle(self, ctx: Context) -> None:
            token = ctx._host.claim.token
            await thief.settle([Settlement(ctx.job_id, token, State.PENDING, 1)])
            await thief.claim([Source("default")], 1, 1_000_000, "thief")
            try:
                async with ctx.transaction() as connection:
                    await insert(connection, "paid twice")
            except LeaseLost as error:
                refused.append(error)
                raise

    handle = await queue.dispatch(Pays())
    events = Recorder(queue)
    async with make_worker(concurrency=1, lease=60):
        await until(lambda: refused)
        await until(lambda: "lost its lease" in caplog.text)
    assert await rows() == []
    assert (await handle.status()).worker == "thief"
    assert events.of_jobs() == ["JobProcessing"]
    await thief.close()


async def test_jobs_dispatched_inside_wait_for_the_commit(queue, make_worker, events, rows, insert):
    class Next(Job):
        n: int

        async def handle(self, ctx: Context) -> int:
            return self.n

    class Pays(Job, backoff=0, queue="payments"):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await insert(connection, "paid")
                await ctx.dispatch(Next(ctx.attempt), after_commit=True)
                assert await queue.size("default") == 0
                if ctx.attempt == 1:
                    raise ValueError

    await queue.dispatch(Pays())
    async with make_worker("payments"):
        await events.wait_for(JobProcessed)
        await until(lambda: True)
    async with make_worker(stop_when_empty=True) as worker:
        await worker.run()
    ran = await queue.jobs(name="Next")
    assert [info.result for info in ran.items] == [2]


@pytest.mark.case("TXN-09")
async def test_outside_of_a_transaction_after_commit_is_at_once(queue):
    class Next(Job):
        async def handle(self, ctx: Context) -> None: ...

    await queue.dispatch(Next(), after_commit=True)
    assert await queue.size("default") == 1


@pytest.mark.case("TXN-01", "TXN-02")
@pytest.mark.parametrize("commits", [True, False])
async def test_a_job_dispatched_within_exists_if_that_commits(queue, ledger, rows, commits):
    class Next(Job):
        async def handle(self, ctx: Context) -> None: ...

    async with ledger.transaction(commits=commits) as connection:
        await ledger.insert(connection, "order")
        handle = await queue.dispatch(Next(), within=connection)
        assert await queue.size("default") == 0
    assert await queue.size("default") == commits
    assert await rows() == ["order"] * commits
    if commits:
        assert (await handle.status()).state is State.PENDING


@pytest.mark.case("TXN-07")
async def test_drivers_without_transactions_say_so(clock, make_worker):
    class Next(Job):
        async def handle(self, ctx: Context) -> None: ...

    refused = []

    class Pays(Job):
        async def handle(self, ctx: Context) -> None:
            try:
                async with ctx.transaction():
                    pass
            except TransactionUnsupported as error:
                refused.append(error)

    connection = sqlite3.connect(":memory:")
    async with Queue(MemoryDriver(clock=clock)) as queue:
        with pytest.raises(TransactionUnsupported):
            await queue.dispatch(Next(), within=connection)
        assert await queue.size("default") == 0
        handle = await queue.dispatch(Pays())
        async with make_worker(on=queue):
            await handle.result(PATIENCE)
    connection.close()
    assert len(refused) == 1


@pytest.mark.case("TXN-01", "TXN-02", "TXN-08")
async def test_a_dispatch_inside_the_transaction_is_part_of_it(driver):
    """At once visible with the commit, never after a rollback."""
    registry = Registry()
    queued: list[str] = []

    class Follows(Job, replace=True, queue="later"):
        n: int

        async def handle(self, ctx: Context) -> None: ...

    class Leads(Job, replace=True, max_attempts=1):
        fails: bool

        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction():
                handle = await ctx.dispatch(Follows(1))
                await ctx.dispatch(Follows(2), after_commit=True)
                seen.append((handle.duplicate, await queue.size("later"), list(queued)))
                if self.fails:
                    raise ValueError("not this time")

    registry.register(Follows)
    registry.register(Leads)
    seen: list[object] = []
    async with Queue(driver, registry=registry) as queue:
        queue.on(JobQueued, lambda event: queued.append(event.name))
        await queue.dispatch_many([Leads(fails=True), Leads(fails=False)])
        queued.clear()
        await Worker(queue, concurrency=1, stop_when_empty=True).run()
        assert seen == [(False, 0, []), (False, 0, [])]
        assert await queue.size("later") == 2
        assert queued == ["Follows", "Follows"]
        assert (await queue.failed.list()).total == 1


async def test_a_job_cannot_close_its_own_queue(queue, make_worker):
    """The driver would be gone before the job is settled."""

    class Closes(Job, replace=True, max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            await queue.close()

    worker = make_worker(stop_when_empty=True)
    handle = await queue.dispatch(Closes())
    await worker.run()
    info = await handle.status()
    assert info.state == "failed"
    assert "cannot close the queue" in info.error


WRITES = {
    "cancel()": lambda queue, other: other.cancel(),
    "clear()": lambda queue, _: queue.clear("default"),
    "pause()": lambda queue, _: queue.pause("default"),
    "resume()": lambda queue, _: queue.resume("default"),
    "failed.retry()": lambda queue, _: queue.failed.retry("x"),
    "failed.retry_all()": lambda queue, _: queue.failed.retry_all(),
    "failed.forget()": lambda queue, _: queue.failed.forget("x"),
    "failed.flush()": lambda queue, _: queue.failed.flush(),
    "dispatch(after_commit=False)": lambda queue, _: queue.dispatch(Idle(), after_commit=False),
}


class Idle(Job, name="IdleBesideTransactions"):
    async def handle(self, ctx: Context) -> None: ...


async def run_alone(queue, make_worker, cls):
    """Run one job of a class and give how it ended; no wait for a lock may fall into it."""
    handle = await queue.dispatch(cls())
    async with asyncio.timeout(4.5):  # SQLite waits five seconds for a lock.
        await make_worker(stop_when_empty=True).run()
    return await handle.status()


@pytest.mark.parametrize("call", WRITES)
async def test_what_cannot_join_the_transaction_says_so_at_once(
    queue, make_worker, rows, insert, call
):
    """It would wait for a lock that its own handler has."""
    other = await queue.dispatch(Idle(), queue="elsewhere")
    refused = []

    class Pays(Job):
        async def handle(self, ctx: Context) -> None:
            async with ctx.transaction() as connection:
                await insert(connection, "paid")
                try:
                    await WRITES[call](queue, other)
                except DriverError as error:
                    refused.append(str(error))

    assert (await run_alone(queue, make_worker, Pays)).state is State.COMPLETED
    assert len(refused) == 1
    assert refused[0].startswith(f"{call} cannot be called inside ctx.transaction()")
    assert await rows() == ["paid"]
    assert (await other.status()).state is State.PENDING
    await other.cancel()
    assert await queue.paused() == []


async def test_a_second_transaction_inside_the_first_says_so_at_once(
    queue, make_worker, rows, insert
):
    """And the first can go on; after a rollback another may follow."""
    refused = []

    class Pays(Job):
        async def handle(self, ctx: Context) -> None:
            with contextlib.suppress(KeyError):
                async with ctx.transaction() as connection:
                    await insert(connection, "undone")
                    raise KeyError
            async with ctx.transaction() as connection:
                await insert(connection, "paid")
                try:
                    async with ctx.transaction():
                        pytest.fail("entered")
                except DriverError as error:
                    refused.append(str(error))

    assert (await run_alone(queue, make_worker, Pays)).state is State.COMPLETED
    assert await rows() == ["paid"]
    assert len(refused) == 1
    assert "is inside ctx.transaction() already" in refused[0]


async def test_progress_and_more_time_inside_the_transaction(queue, make_worker, rows, insert):
    """They need no lock. What is no progress is refused as always."""
    remaining = []

    class Pays(Job, timeout=60):
        async def handle(self, ctx: Context) -> None:
            await ctx.progress(10)
            async with ctx.transaction() as connection:
                await insert(connection, "paid")
                await asyncio.gather(ctx.progress(1, 2, "half"), ctx.extend(600))
                with pytest.raises(ValueError, match="progress needs"):
                    await ctx.progress(-1)
                remaining.append(ctx.remaining)

    info = await run_alone(queue, make_worker, Pays)
    assert (info.state, info.progress) == (State.COMPLETED, 100)
    assert remaining[0] > 600
    assert await rows() == ["paid"]
