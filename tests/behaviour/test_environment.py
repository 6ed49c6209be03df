"""A queue and its workers that only the environment describes, on every store."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from contextlib import closing
from urllib.parse import urlsplit

import asyncpg
import pytest

from asyncqueue import (
    Context,
    Job,
    JobFailed,
    Queue,
    Settings,
    Worker,
    default_queue,
    dispatch,
    set_default,
)
from asyncqueue.record import Filter

from ..recorder import PATIENCE, Recorder


class Noted(Job, name="EnvironmentNoted"):
    async def handle(self, ctx: Context) -> str:
        return ctx.queue


class Breaks(Job, name="EnvironmentBreaks", max_attempts=1):
    async def handle(self, ctx: Context) -> None:
        raise ValueError


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """An environment that says nothing of a queue, in an empty folder."""
    for name in tuple(os.environ):
        if name.startswith("QUEUE_") or name in ("REDIS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def say(nowhere, monkeypatch):
    """Sets variables."""

    def say(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"QUEUE_{name.upper()}", str(value))

    return say


def place(kind, request):
    """The variables that lead to a store of this kind."""
    if kind == "sqlite":
        return {"driver": "database", "database_url": "sqlite:///env.db"}
    if kind == "postgres":
        schema = request.getfixturevalue("postgres_schema")
        return {"driver": "database", "database_url": f"{schema.dsn}?schema={schema.name}"}
    if kind == "redis":
        at = urlsplit(request.getfixturevalue("redis_url"))
        prefix = request.getfixturevalue("redis_prefix")
        return {"driver": "redis", "redis_port": at.port, "redis_db": 0, "prefix": prefix}
    return {"driver": "memory"}


@pytest.fixture(params=["memory", "postgres", "redis", "sqlite"])
def store(request, say):
    """The kind of store that the environment describes."""
    say(**place(request.param, request))
    return request.param


@pytest.mark.case("CFG-01", "CFG-07", "DSP-01")
async def test_the_environment_is_all_that_a_queue_and_its_worker_need(store, say):
    say(default="work")
    async with Queue.from_env() as queue, Worker(queue):
        assert queue.driver.name == store
        handle = await queue.dispatch(Noted())
        assert await handle.result(PATIENCE) == "work"


@pytest.mark.case("CFG-01", "CFG-13", on="memory")
async def test_without_any_variable_it_is_memory(nowhere, tmp_path):
    async with Queue.from_env() as queue:
        await queue.dispatch(Noted())
        assert queue.driver.name == "memory"
        assert await queue.size("default") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("CFG-04", "DEP-01")
async def test_the_first_dispatch_builds_the_default_queue_once(store):
    former = set_default(None)
    try:
        await dispatch(Noted())
        queue = default_queue()
        assert queue.driver.name == store
        await dispatch(Noted())
        assert default_queue() is queue
        assert await queue.size("default") == 2
        await queue.close()
    finally:
        set_default(former)


@pytest.mark.case("CFG-06", on="sync")
async def test_sync_runs_a_job_in_its_dispatch(say):
    say(driver="sync")
    async with Queue.from_env() as queue:
        handle = await queue.dispatch(Noted())
        assert (await handle.status()).state == "completed"


@pytest.mark.case("CFG-02")
async def test_the_parts_lead_to_a_guarded_redis(own_redis, say):
    server = own_redis("--requirepass", "p@ss w/ord")
    say(driver="redis", redis_host="127.0.0.1", redis_port=server.port, redis_db=3)
    say(redis_password="p@ss w/ord")
    async with Queue.from_env() as queue:
        await queue.dispatch(Noted())
        assert queue.driver.location() == f"redis://127.0.0.1:{server.port}/3"
    say(redis_db=4)
    async with Queue.from_env() as elsewhere:
        assert await elsewhere.size("default") == 0


@pytest.mark.case("CFG-12")
async def test_a_queue_uses_the_driver_that_it_is_given_and_leaves_it_open(driver):
    await driver.open()
    async with Queue(driver) as queue:
        assert queue.driver is driver
        handle = await queue.dispatch(Noted())
    await driver.ping()
    (stored,) = (await driver.find(Filter())).items
    assert stored.id == handle.id
    await driver.close()


async def ids_in(kind, request, table):
    """The ids in a table, as a stranger sees them."""
    if kind == "sqlite":
        with closing(sqlite3.connect("env.db")) as connection:
            return [id for (id,) in connection.execute(f"SELECT id FROM {table}")]
    schema = request.getfixturevalue("postgres_schema")
    connection = await asyncpg.connect(schema.dsn)
    rows = await connection.fetch(f'SELECT id FROM "{schema.name}".{table}')
    await connection.close()
    return [row["id"] for row in rows]


@pytest.mark.case("CFG-03", "FLD-02")
@pytest.mark.parametrize("store", ["postgres", "sqlite"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "unset"])
async def test_jobs_and_failed_jobs_are_in_the_tables_that_were_named(store, named, request, say):
    say(**place(store, request))
    if named:
        say(table="my_jobs", failed_table="my_failed")
    jobs, failed = ("my_jobs", "my_failed") if named else ("jobs", "failed_jobs")
    async with Queue.from_env() as queue:
        events = Recorder(queue)
        handle = await queue.dispatch(Breaks())
        assert await ids_in(store, request, jobs) == [handle.id]
        assert await ids_in(store, request, failed) == []
        async with Worker(queue):
            await events.wait_for(JobFailed)
        assert await ids_in(store, request, jobs) == []
        assert await ids_in(store, request, failed) == [handle.id]


@pytest.mark.case("CFG-20")
async def test_driver_queues_and_slots_by_option(redis_url, redis_prefix, nowhere):
    slots = {"default": 2, "emails": 4, "exports": 1}
    running, most = Counter(), Counter()
    all_busy = asyncio.Event()

    class Counts(Job, name="EnvironmentCounts"):
        async def handle(self, ctx: Context) -> None:
            running[ctx.queue] += 1
            most[ctx.queue] = max(most[ctx.queue], running[ctx.queue])
            if most == slots:
                all_busy.set()
            await all_busy.wait()
            running[ctx.queue] -= 1

    settings = Settings(url=redis_url, prefix=redis_prefix)
    async with Queue(settings=settings) as queue:
        assert queue.driver.name == "redis"
        handles = [await queue.dispatch(Counts(), queue=name) for name in slots for _ in range(6)]
        async with Worker(queue, slots):
            for handle in handles:
                await handle.result(PATIENCE)
    assert most == slots
