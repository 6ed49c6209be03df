"""A driver and a queue that were open when their process was forked."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Context, Job, JobQueued, Queue, Registry, Worker
from asyncqueue.errors import DriverError, DriverUnavailable
from asyncqueue.record import Presence, Source, State
from tests.drivers.sqlite.acts import (
    CHILD,
    EVERYTHING,
    claim,
    ended,
    record,
    sql,
    states,
)
from tests.drivers.sqlite.forking import in_child
from tests.drivers.sqlite.test_group_commit import Blocker, until_taken

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from asyncqueue.drivers.sqlite import SqliteDriver
    from asyncqueue.record import Claim

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there are no forks"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

VERBS: dict[str, Callable[[SqliteDriver, Claim], object]] = {
    "enqueue": lambda driver, _: driver.enqueue([record("b")]),
    "enqueue within": lambda driver, _: driver.enqueue(
        [record("b")], within=sqlite3.connect(driver.path)
    ),
    "claim": lambda driver, _: driver.claim([Source("q")], 1, 30, "w"),
    "extend": lambda driver, _: driver.extend([], 30),
    "settle": lambda driver, held: driver.settle([ended(held)]),
    "watch": lambda driver, _: driver.watch(["queue:q"]),
    "sweep": lambda driver, _: driver.sweep(),
    "prune": lambda driver, _: driver.prune(1),
    "find": lambda driver, _: driver.find(EVERYTHING),
    "counts": lambda driver, _: driver.counts(),
    "count": lambda driver, _: driver.count(EVERYTHING),
    "requeue": lambda driver, _: driver.requeue(EVERYTHING),
    "cancel": lambda driver, _: driver.cancel(EVERYTHING, 1),
    "delete": lambda driver, _: driver.delete(EVERYTHING),
    "pause": lambda driver, _: driver.pause(["q"], on=True),
    "paused": lambda driver, _: driver.paused(),
    "announce": lambda driver, _: driver.announce(Presence("w", "h", 1, [], 1, 0.0), 1),
    "retire": lambda driver, _: driver.retire("w"),
    "workers": lambda driver, _: driver.workers(),
    "called_off": lambda driver, _: driver.called_off("w"),
    "transaction": lambda driver, held: driver.transaction(ended(held)),
    "ping": lambda driver, _: driver.ping(),
    "diagnose": lambda driver, _: driver.diagnose(),
}


@pytest.fixture
async def held(driver: SqliteDriver) -> Claim:
    """A claim of the parent, which has used all of its connections."""
    await driver.enqueue([record("a"), record("done")])
    first, second = await claim(driver)
    async with driver.transaction(ended(second)):
        pass
    await states(driver)
    return first


async def test_every_verb_says_so_at_once(driver: SqliteDriver, held: Claim) -> None:
    """No thread of the parent is there to answer."""

    async def try_all() -> list[str]:
        wrong: list[str] = []
        for name, verb in VERBS.items():
            try:
                async with asyncio.timeout(1):
                    await verb(driver, held)
                wrong.append(f"{name} did not raise")
            except DriverError as error:
                if "before this process was forked" not in str(error):
                    wrong.append(f"{name}: {error}")
        return wrong

    assert await in_child(try_all) == "[]"
    assert await driver.settle([ended(held)]) == [True]
    assert set(await states(driver)) == {"a", "done"}


async def test_closed_and_opened_it_works(driver: SqliteDriver, held: Claim) -> None:
    """And the parent notices the jobs of its child."""

    async def use() -> object:
        await driver.close()
        with pytest.raises(DriverError, match="is closed; open it first"):
            await driver.count(EVERYTHING)
        await driver.open()
        await driver.enqueue([record("b")])
        claimed = await claim(driver)
        async with driver.transaction(ended(claimed[0])):
            pass
        await driver.close()
        return [each.id for each in claimed]

    with driver.watch(["queue:q"]) as watch:
        assert await in_child(use) == "['b']"
        await watch.wait(5)
        assert watch.rung
    assert (await states(driver))["b"] is State.COMPLETED
    assert await driver.settle([ended(held)]) == [True]
    assert sql(driver.path, "PRAGMA integrity_check") == [("ok",)]


async def test_the_parent_goes_on_and_hears_of_others(driver: SqliteDriver, held: Claim) -> None:
    """It has closed its connections for the fork, and opened them anew."""
    other = driver.clone()
    await other.open()

    async def nothing() -> str:
        return "done"

    with driver.watch(["queue:q"]) as watch:
        for number in range(3):
            assert await in_child(nothing) == "done"
            await driver.count(EVERYTHING)
            watch.clear()
            await other.enqueue([record(f"{number}")])
            await watch.wait(5)
            assert watch.rung
    assert not driver._writer._changes._blind
    assert await driver.settle([ended(held)]) == [True]
    await other.close()


async def test_a_file_that_is_gone_after_the_fork(
    driver: SqliteDriver, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not made anew, and the log is not flooded."""

    async def nothing() -> str:
        return "done"

    with driver.watch(["queue:q"]):
        assert await in_child(nothing) == "done"
        driver.path.unlink()
        for _ in range(20):
            with pytest.raises(DriverUnavailable, match="removed or replaced"):
                await driver.enqueue([record("a")])
        assert not driver.path.exists()
    assert len(caplog.records) <= 2


async def test_a_child_cannot_open_what_was_in_use_at_the_fork(
    driver: SqliteDriver, held: Claim
) -> None:
    """SQLite would believe to have the locks that only the parent has."""

    async def reopen() -> str:
        await driver.close()
        gc.collect()  # Were the connection freed, it would be closed.
        with pytest.raises(DriverError, match="in use at the moment when this process was forked"):
            await driver.open()
        return "refused"

    async with driver.transaction(ended(held)) as connection:
        connection.execute("CREATE TABLE effects (name)")
        assert await in_child(reopen) == "refused"
        connection.execute("INSERT INTO effects VALUES ('a')")
    assert sql(driver.path, "SELECT * FROM effects") == [("a",)]
    assert (await states(driver))["a"] is State.COMPLETED


def test_a_child_outlives_its_parent(path: Path) -> None:
    """A process that puts itself into the background has locks of its own."""
    command = [sys.executable, str(CHILD), "enqueue_after_fork", str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        for stored in range(1, 21):
            child.stdin.write(b"\n")
            assert child.stdout.readline() == b"stored\n"
            # Who is the last to close a file clears away its log, unless somebody has a lock.
            assert sql(path, "SELECT count(*) FROM jobs") == [(stored,)]
        child.stdin.close()
        assert child.stdout.read() == b""
    assert sql(path, "SELECT count(*) FROM jobs") == [(20,)]
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


async def test_locks_that_were_held_at_the_fork_hold_up_nobody(driver: SqliteDriver) -> None:
    """Those who held them are not in the child to let go of them."""

    async def reopen() -> str:
        await driver.close()
        await driver.open()
        with driver.watch(["queue:q"]):
            await driver.close()
        return "fine"

    with driver._opening, driver._watches._lock:
        forked = in_child(reopen)
        assert await forked == "fine"


# Queues


class Nothing(Job, name="NothingInForks", replace=True):
    async def handle(self, ctx: Context) -> None: ...


@pytest.fixture
async def queue(path: Path) -> AsyncGenerator[Queue]:
    registry = Registry()
    registry.register(Nothing)
    async with Queue(f"sqlite:///{path}", registry=registry) as queue:
        yield queue


async def test_a_queue_with_dispatches_and_events_under_way(queue: Queue, path: Path) -> None:
    """Those of the parent end in the parent; the child is told at once, and can close."""
    heard: list[str] = []
    go_on = asyncio.Event()

    async def hear(event: JobQueued) -> None:
        await go_on.wait()
        heard.append(event.job_id)

    queue.on(JobQueued, hear)
    first = await queue.dispatch(Nothing())
    blocked = Blocker(path)
    asked = [asyncio.create_task(queue.dispatch(Nothing())) for _ in range(2)]
    await until_taken(queue.driver)

    async def use() -> str:
        async with asyncio.timeout(5):
            with pytest.raises(DriverError, match="open a queue of its own"):
                await queue.dispatch(Nothing())
            with pytest.raises(DriverError, match="open a queue of its own"):
                await queue.size("default")
            await queue.close()
            return "closed"

    assert await in_child(use) == "closed"
    blocked.let_go()
    handles = [first, *await asyncio.gather(*asked)]
    go_on.set()
    await queue.listeners.drained()
    assert heard == [handle.id for handle in handles]
    assert await queue.size("default") == 3


async def test_a_queue_of_its_own_beside_a_worker_of_the_parent(queue: Queue, path: Path) -> None:
    """And closing the inherited one does not wait for that worker."""

    async def use() -> object:
        async with asyncio.timeout(10):
            async with Queue(f"sqlite:///{path}", registry=queue.registry) as own:
                handle = await own.dispatch(Nothing())
                await handle.result(5)
            await queue.close()
            return (handle.id, len(queue._workers))

    async with Worker(queue, poll_interval=0.01):
        said = await in_child(use)
        assert said.endswith(", 0)")
    assert [info.state for info in (await queue.jobs()).items] == [State.COMPLETED]


async def test_a_queue_that_was_not_open_works(path: Path) -> None:
    """As where a server loads the application and then forks."""
    queue = Queue(f"sqlite:///{path}", registry=Registry())
    queue.registry.register(Nothing)

    async def use() -> object:
        async with queue:
            await queue.dispatch(Nothing())
            return await queue.size("default")

    assert await in_child(use) == "1"
    assert await in_child(use) == "2"
    async with queue:
        assert await queue.size("default") == 2
