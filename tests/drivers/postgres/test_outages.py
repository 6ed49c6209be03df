"""Servers that restart, fall silent, or end connections: nothing is lost, and work goes on."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from asyncqueue import Context, Job, JobProcessed, Queue, Registry, State, Worker
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.postgres.pool import FAREWELL, SLACK
from asyncqueue.errors import DriverUnavailable
from asyncqueue.record import Extension

from ...faults.proxy import Proxy
from ...recorder import Recorder, until
from .acts import EVERYTHING, claim, ended, record, sql, states

if TYPE_CHECKING:
    from ...servers.postgres import PostgresServer
    from ...servers.schemas import Schema

PATIENCE = 1.0


class Noted:
    """A queue whose jobs note that they ran."""

    def __init__(self, dsn: str, schema: str = "q") -> None:
        self.ran: list[int] = []
        ran = self.ran
        registry = Registry()

        class Notes(Job, replace=True):
            n: int

            async def handle(self, ctx: Context) -> None:
                ran.append(self.n)
                await asyncio.sleep(0.005)

        registry.register(Notes)
        self.job = Notes
        self.driver = PostgresDriver(dsn, schema=schema, timeout=PATIENCE)
        self.queue = Queue(self.driver, registry=registry)

    def worker(self) -> Worker:
        # What is lost would not come back by itself before the test has failed.
        return Worker(self.queue, concurrency=5, poll_interval=0.05, lease=60)


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_a_restart_neither_loses_nor_doubles_a_job(
    postgres_server: PostgresServer, how: str
) -> None:
    """The worker goes on by itself; what was under way is settled later."""
    noted = Noted(postgres_server.url())
    async with noted.queue as queue:
        events = Recorder(queue)
        await queue.dispatch_many([noted.job(n) for n in range(300)])
        async with noted.worker():
            await until(lambda: len(noted.ran) >= 50)
            if how == "crash":
                postgres_server.kill()
                postgres_server.start()
            else:
                postgres_server.restart()
            await events.wait_for(JobProcessed, 300)
        assert sorted(noted.ran) == list(range(300))
        assert (await queue.stats())["default"].completed == 300


async def test_a_silent_server_is_unavailable_within_the_bound(
    postgres_server: PostgresServer,
) -> None:
    """Contract 2: no call hangs, and the same handle works as soon as the server is back."""
    driver = PostgresDriver(postgres_server.url(), schema="q", timeout=PATIENCE)
    await driver.open()
    await driver.enqueue([record("before")])
    (held,) = await claim(driver)
    postgres_server.pause()
    calls = {
        "enqueue": lambda: driver.enqueue([record("during")]),
        "claim": lambda: claim(driver),
        "settle": lambda: driver.settle([ended(held)]),
        "ping": driver.ping,
        "find": lambda: driver.find(EVERYTHING),
        "cancel": lambda: driver.cancel(EVERYTHING, 60),
    }
    began = time.monotonic()
    answers = await asyncio.gather(*(call() for call in calls.values()), return_exceptions=True)
    assert time.monotonic() - began < PATIENCE * 3
    assert [type(answer) for answer in answers] == [DriverUnavailable] * len(calls), answers
    postgres_server.resume()
    assert await driver.settle([ended(held)]) == [True]
    assert set(await states(driver)) <= {"before", "during"}
    await driver.close()


TURNS = 4
SHORT = 0.2


async def test_a_server_that_is_slow_at_each_statement_is_not_away(
    postgres_schema: Schema, caplog: pytest.LogCaptureFixture
) -> None:
    """What takes longer than one answer may, because it is many, must come to its end some time.

    Else it would fail again, and again from the beginning. So does what is only begun: it is known
    to be lost as soon as an answer to it takes too long.
    """
    port = urlsplit(postgres_schema.dsn).port
    assert port is not None
    with Proxy(port) as proxy:
        dsn = postgres_schema.dsn.replace(f":{port}/", f":{proxy.port}/")
        driver = PostgresDriver(dsn, schema=postgres_schema.name, timeout=SHORT)
        await driver.open()
        fair = [record(f"{n}", fair=f"{n}") for n in range(TURNS)]
        await driver.enqueue(fair)
        proxy.hold(0.03, "from")
        began = time.monotonic()
        taken = await claim(driver, TURNS)
        assert time.monotonic() - began > SHORT + SLACK
        assert {one.id for one in taken} == {one.id for one in fair}
        assert await driver.settle([ended(one) for one in taken]) == [True] * TURNS
        await driver.enqueue(fair[:1])
        proxy.cut_at(3, "before reply")
        proxy.silence()
        began = time.monotonic()
        with pytest.raises(DriverUnavailable):
            await claim(driver, TURNS)
        assert time.monotonic() - began < 2 * (SHORT + SLACK)
        proxy.mend()
        await driver.close()


def test_what_the_end_of_asyncio_run_has_cut_off_is_given_back(postgres_schema: Schema) -> None:
    """The call that claims is cancelled, too: its jobs must not wait for their leases."""
    port = urlsplit(postgres_schema.dsn).port
    assert port is not None
    records = [record(f"{n}") for n in range(3)]

    async def main(driver: PostgresDriver, proxy: Proxy) -> None:
        await driver.open()
        for _ in range(2):  # All is prepared then.
            await driver.enqueue(records)
            assert await driver.settle([ended(one) for one in await claim(driver)])
            await driver.delete(EVERYTHING)
        await driver.enqueue(records)
        proxy.stall("from")
        claiming = asyncio.create_task(claim(driver))
        await asyncio.sleep(0.1)
        assert not claiming.done()
        asyncio.get_running_loop().call_later(0.1, proxy.resume)

    async def look() -> dict[str, State]:
        driver = PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name)
        await driver.open()
        found = await states(driver)
        await driver.close()
        return found

    with Proxy(port) as proxy:
        dsn = postgres_schema.dsn.replace(f":{port}/", f":{proxy.port}/")
        driver = PostgresDriver(dsn, schema=postgres_schema.name)
        asyncio.run(main(driver, proxy))
    assert asyncio.run(look()) == dict.fromkeys((one.id for one in records), State.PENDING)


async def test_nobody_is_told_of_what_a_caller_who_went_has_asked(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that fails after its caller was cancelled fails in silence."""
    driver = PostgresDriver(postgres_server.url(), schema="q", timeout=0.1)
    await driver.open()
    await driver.ping()
    postgres_server.pause()
    for call in (driver.ping, lambda: driver.extend([Extension("1", 1)], 30.0)):
        asking = asyncio.create_task(call())
        await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait([asking])
    await asyncio.sleep(0.5)
    gc.collect()
    assert caplog.text == ""
    postgres_server.resume()
    await driver.close()


async def test_closing_does_not_wait_for_a_silent_server(
    postgres_server: PostgresServer,
) -> None:
    """What is in flight is told so, long before it would have given up by itself."""
    driver = PostgresDriver(postgres_server.url(), schema="q", timeout=30)
    await driver.open()
    await driver.ping()
    postgres_server.pause()
    asking = [asyncio.create_task(driver.ping()), asyncio.create_task(claim(driver))]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await driver.close()
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} == {DriverUnavailable}
    postgres_server.resume()


async def test_nobody_bids_a_silent_server_farewell(postgres_server: PostgresServer) -> None:
    """What one connection has learned the others need not wait for."""
    driver = PostgresDriver(postgres_server.url(), schema="q", timeout=0.3)
    await driver.open()
    await driver.find(EVERYTHING)
    postgres_server.pause()
    with pytest.raises(DriverUnavailable):
        await driver.ping()
    began = time.monotonic()
    await driver.close()
    assert time.monotonic() - began < FAREWELL
    postgres_server.resume()


async def test_a_worker_outlives_a_silent_server(postgres_server: PostgresServer) -> None:
    """Reliability 3.5: seven of nine hang here."""
    noted = Noted(postgres_server.url())
    async with noted.queue as queue:
        events = Recorder(queue)
        await queue.dispatch_many([noted.job(n) for n in range(100)])
        async with noted.worker():
            await until(lambda: len(noted.ran) >= 20)
            postgres_server.pause()
            with pytest.raises(DriverUnavailable):
                await queue.dispatch(noted.job(1000))
            postgres_server.resume()
            await until(lambda: len(events.of(JobProcessed)) >= 100, 20)
        assert sorted(n for n in noted.ran if n < 1000) == list(range(100))


@pytest.mark.parametrize("rounds", [3])
async def test_connections_that_are_ended_are_opened_anew(
    postgres_schema: Schema, rounds: int
) -> None:
    """All of them, the listening one too: an administrator's doing, or a proxy's."""
    noted = Noted(*postgres_schema)
    async with noted.queue as queue:
        events = Recorder(queue)
        async with noted.worker():
            for n in range(rounds):
                await until_dispatched(queue, noted.job(n))
                await events.wait_for(JobProcessed, n + 1)
                await sql(
                    postgres_schema.dsn,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'asyncqueue' AND query LIKE $1",
                    f"%{'asyncqueue_' if n == 0 else ''}%",
                )
            await until_dispatched(queue, noted.job(rounds))
            await events.wait_for(JobProcessed, rounds + 1)
    assert sorted(set(noted.ran)) == list(range(rounds + 1))


async def until_dispatched(queue: Queue, job: Job) -> None:
    """A connection whose end nobody read of yet costs one call."""
    for _ in range(20):
        try:
            await queue.dispatch(job, id=f"once {job}")
        except DriverUnavailable:
            continue
        return
    raise AssertionError


async def test_a_listener_listens_again_after_its_connection_was_ended(
    postgres_schema: Schema,
) -> None:
    driver = PostgresDriver(*postgres_schema[:1], schema=postgres_schema.name)
    other = driver.clone()
    await driver.open()
    await other.open()
    channel = driver._tables.channel
    listening = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND query LIKE $1"
    with driver.watch(["queue:q"]) as watch:
        pids: list[object] = []
        for _ in range(2):
            before, pids = pids, []
            async with asyncio.timeout(10):
                while not pids or pids == before:
                    await asyncio.sleep(0.01)
                    pids = await sql(postgres_schema.dsn, listening, f"%{channel}%")
            await sql(postgres_schema.dsn, "SELECT pg_terminate_backend($1)", pids[0][0])
        watch.clear()
        await watch.wait(10)
        assert watch.rung, "it rings when it listens again: something may have been missed"
        watch.clear()
        await other.enqueue([record("a")])
        await watch.wait(10)
        assert watch.rung
    await other.close()
    await driver.close()


async def test_open_transactions_of_others_cost_a_bounded_time(postgres_schema: Schema) -> None:
    """A lock that somebody holds for ever makes the store unavailable, not the caller hang."""
    driver = PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name, timeout=0.5)
    await driver.open()
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    stranger = await asyncpg.connect(postgres_schema.dsn)
    async with stranger.transaction():
        await stranger.execute(f"LOCK TABLE {postgres_schema.name}.jobs")
        with pytest.raises(DriverUnavailable):
            await driver.settle([ended(held)])
    await stranger.close()
    assert await driver.settle([ended(held)]) == [True]
    assert await states(driver) == {"a": State.COMPLETED}
    await driver.close()
