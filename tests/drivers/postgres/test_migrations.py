"""Schemas of older and newer versions, from a real one of version 1 that is kept as text."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from asyncqueue.drivers.migrations import Steps
from asyncqueue.drivers.postgres import PostgresDriver, schema
from asyncqueue.errors import DriverError, DriverUnavailable
from asyncqueue.record import Filter, State
from asyncqueue.testing import Clock

from .acts import claim, ended, record, sql, states

if TYPE_CHECKING:
    from ...servers.postgres import PostgresServer
    from ...servers.schemas import Schema

MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
VERSION_1 = Path(__file__).with_name("version_1.sql").read_text()
RIGHTS = (
    "CREATE USER humble; GRANT USAGE ON SCHEMA was TO humble;"
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA was TO humble"
)


INDEXES = """
UNIQUE failed_jobs_pkey (id)
failed_jobs_seq (seq)
failed_jobs_finished (finished_at, seq)
failed_jobs_latch (latch)
UNIQUE jobs_pkey (seq)
UNIQUE jobs_id (id)
UNIQUE jobs_key (key)
jobs_ready (queue, priority DESC, available_at, seq)
jobs_delayed (queue, available_at, priority)
jobs_leased (leased_until)
jobs_finished (expires_at, state, queue)
jobs_called_off (worker)
jobs_latch (latch, held)
UNIQUE jobs_meta_pkey (kind, name)
UNIQUE jobs_latches_pkey (id)
jobs_latch_over (expires_at)
jobs_restricted (queue, priority, fair, available_at, seq)
jobs_aside (aside, queue, priority, available_at, seq)
UNIQUE jobs_permits_pkey (key, holder)
jobs_permit_end (until)
UNIQUE jobs_openings_pkey (key)
jobs_opening_at (at)
"""
"""Without one of them everything still works, but every call reads a whole table."""


async def execute(dsn: str, script: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(script)
    await connection.close()


async def put_version_1(place: Schema) -> None:
    named = VERSION_1.replace("was.", f"{place.name}.").replace(" was;", f" {place.name};")
    await execute(place.dsn, named)


@pytest.fixture
async def old(new_postgres_schema: Schema) -> Schema:
    await put_version_1(new_postgres_schema)
    return new_postgres_schema


def driver_on(place: Schema, **options: Any) -> PostgresDriver:
    return PostgresDriver(place.dsn, schema=place.name, **options)


async def versions(place: Schema) -> set[int]:
    rows = await sql(
        place.dsn,
        f"SELECT value FROM {place.name}.jobs_meta WHERE kind IN ('schema', 'failed')",
    )
    return {int(row[0]) for row in rows}


async def shape(dsn: str, name: str) -> set[tuple[Any, ...]]:
    """Everything that the catalogue says of a schema, but not the order of columns."""
    columns = await sql(
        dsn,
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name "
        "FROM information_schema.columns WHERE table_schema = $1",
        name,
    )
    indexes = await sql(
        dsn,
        "SELECT indexname, replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1",
        name,
    )
    options = await sql(
        dsn,
        "SELECT relname, relkind::text, reloptions FROM pg_class "
        "WHERE relnamespace = $1::regnamespace",
        name,
    )
    return {tuple(map(str, row)) for row in [*columns, *indexes, *options]}


async def test_an_old_schema_becomes_like_a_new_one(old: Schema) -> None:
    """Opening is enough."""
    driver = driver_on(old, clock=Clock(MADE_AT))
    await driver.open()
    fresh = PostgresDriver(old.dsn, schema=f"{old.name}_fresh")
    await fresh.open()
    assert await versions(old) == {schema.STEPS.newest}
    assert await shape(old.dsn, old.name) == await shape(old.dsn, f"{old.name}_fresh")
    for handle in (driver, fresh):
        await handle.close()


async def test_all_indexes_are_there(old: Schema) -> None:
    await driver_on(old).migrate()
    query = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1"
    rows = await sql(old.dsn, query, old.name)
    shortest = re.compile(r"CREATE |INDEX | ON \S+ USING btree| WHERE .*| WITH .*")
    assert sorted(shortest.sub("", row[0]) for row in rows) == sorted(INDEXES.split("\n")[1:-1])


async def test_nothing_is_lost_on_the_way(old: Schema) -> None:
    """A job in every state goes on from there."""
    clock = Clock(MADE_AT)
    driver = driver_on(old, clock=clock)
    await driver.open()
    assert await states(driver) == {
        "completed": State.COMPLETED,
        "cancelled": State.CANCELLED,
        "failed": State.FAILED,
        "processing": State.PROCESSING,
        "called off": State.PROCESSING,
        "ready": State.PENDING,
        "urgent": State.PENDING,
        "delayed": State.DELAYED,
        "unique": State.PENDING,
        "elsewhere": State.PENDING,
    }
    found = {job.id: job for job in (await driver.find(Filter(), limit=100)).items}
    assert (found["completed"].result, found["completed"].progress) == (b"42", 100)
    assert (found["failed"].error, found["failed"].attempts) == ("ValueError: no", 1)
    assert (found["processing"].progress, found["processing"].message) == (40, "half way")
    assert await driver.paused() == ["paused"]
    assert await driver.called_off("worker-1") == ["called off"]
    assert await driver.enqueue([record("other", key="held")]) == ["unique"]
    assert await driver.enqueue([record("completed"), record("failed")]) == ["completed", "failed"]
    assert [job.id for job in await claim(driver)] == ["urgent", "ready", "unique"]
    assert await driver.requeue(Filter(ids=("failed",))) == ["failed"]
    clock.advance(60)
    assert await driver.sweep() == 4
    again = await claim(driver)
    waiting = {"urgent", "failed", "processing", "ready", "unique", "delayed"}
    assert {job.id for job in again} == waiting
    assert await driver.settle([ended(job) for job in again]) == [True] * 6
    await driver.close()


async def test_many_that_start_at_once_upgrade_it_once(old: Schema) -> None:
    drivers = [driver_on(old) for _ in range(6)]
    reports = await asyncio.gather(
        *(driver.migrate() for driver in drivers[:3]), *(driver.open() for driver in drivers[3:])
    )
    took = [report for report in reports if report]
    assert len(took) <= 1
    assert await versions(old) == {schema.STEPS.newest}
    assert await drivers[0].migrate() == []
    for driver in drivers:
        await driver.close()


async def test_migrate_tells_what_it_did(new_postgres_schema: Schema, old: Schema) -> None:
    told = await driver_on(old).migrate()
    assert [line[:3] for line in told] == [f"{step.number:03}" for step in schema.STEPS.after(1)]
    assert f"{old.name}.jobs: Room in the indexes" in told[0]


@pytest.mark.case("DRV-22")
@pytest.mark.parametrize("part", ["schema", "failed"])
@pytest.mark.parametrize("version", ["99", "2b"])
async def test_tables_of_the_future_are_left_alone(old: Schema, part: str, version: str) -> None:
    await sql(old.dsn, f"UPDATE {old.name}.jobs_meta SET value = '{version}' WHERE kind = '{part}'")
    before = await shape(old.dsn, old.name)
    told = f"have version {version} .* a newer asyncqueue"
    for act in (driver_on(old).open, driver_on(old).migrate):
        with pytest.raises(DriverError, match=told) as caught:
            await act()
        assert not isinstance(caught.value, DriverUnavailable)
    assert await shape(old.dsn, old.name) == before


async def test_another_failed_table_is_made_up_to_date(old: Schema) -> None:
    """Each has its own version."""
    driver = driver_on(old, failed_table="graveyard")
    await driver.open()
    await driver.enqueue([record("a", queue="lone")])
    (job,) = await claim(driver, queue="lone")
    assert await driver.settle([ended(job, State.FAILED)]) == [True]
    rows = await sql(old.dsn, f"SELECT name, value FROM {old.name}.jobs_meta WHERE kind = 'failed'")
    newest = schema.STEPS.newest
    assert {row[0]: int(row[1]) for row in rows} == {"failed_jobs": 1, "graveyard": newest}
    await driver.close()


async def test_the_steps_can_be_taken_by_hand(postgres_server: PostgresServer) -> None:
    """What `migrate --sql --from 1` prints, for a user who may not change tables."""
    url = postgres_server.url()
    await execute(url, VERSION_1)
    await execute(url, RIGHTS)
    humble = PostgresDriver(postgres_server.url(user="humble"), schema="was")
    with pytest.raises(DriverError, match=r"migrate --sql --from 1` prints.*grant") as caught:
        await humble.open()
    assert not isinstance(caught.value, DriverUnavailable)
    owner = PostgresDriver(url, schema="was")
    await execute(url, owner.schema_sql(1))
    assert await owner.migrate() == []
    await humble.open()
    assert await humble.enqueue([record("a")]) == [None]
    await humble.close()


async def test_a_user_without_rights_is_told_who_makes_the_tables(
    postgres_server: PostgresServer,
) -> None:
    await execute(postgres_server.url(), "CREATE USER humble")
    driver = PostgresDriver(postgres_server.url(user="humble"), schema="q")
    for act in (driver.open, driver.migrate):
        with pytest.raises(DriverError, match=r"run `asyncqueue migrate` as a user who may"):
            await act()


def test_sql_from_no_version() -> None:
    driver = PostgresDriver("postgresql://h/db")
    newest = schema.STEPS.newest
    assert driver.schema_sql(newest) == "BEGIN;\n\nCOMMIT;"
    with pytest.raises(DriverError, match=f"no version {newest + 1} .* to {newest}, the newest"):
        driver.schema_sql(newest + 1)


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The steps there are, in a folder where a test may add one, and its number."""
    for step in schema.STEPS.after(0):
        (tmp_path / f"{step.number:03}_{step.part}.sql").write_text(step.text)
    return tmp_path


def add_step(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    number = schema.STEPS.newest + 1
    (folder / f"{number:03}_jobs.sql").write_text(f"-- One more.\n\n{text}")
    monkeypatch.setattr(schema, "STEPS", Steps(folder))
    return number


async def test_a_step_that_breaks_leaves_nothing(
    old: Schema, next_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or none, whatever the reason."""
    before = await shape(old.dsn, old.name)
    add_step(next_version, monkeypatch, "-- name: bad\nALTER TABLE {jobs} ADD COLUMN seq bigint;\n")
    with pytest.raises(DriverError, match="seq"):
        await driver_on(old).open()
    assert await shape(old.dsn, old.name) == before
    assert await versions(old) == {1}


async def test_whoever_is_at_work_goes_on(
    driver: PostgresDriver,
    new_postgres_schema: Schema,
    next_version: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rolling deployment: an older one is busy while a newer one starts."""
    done = asyncio.Event()

    async def work() -> int:
        count = 0
        while not done.is_set() or count < 3:
            await driver.enqueue([record(f"{count}-{n}") for n in range(20)])
            jobs = await claim(driver)
            either = [State.COMPLETED, State.FAILED]
            ends = [ended(job, either[n % 2]) for n, job in enumerate(jobs)]
            assert all(await driver.settle(ends))
            await driver.requeue(Filter(states=(State.FAILED,)))
            count += 1
        return count

    working = asyncio.create_task(work())
    await driver.ping()
    text = "-- name: a\nALTER TABLE {jobs} ADD COLUMN a bigint;\n\n"
    text += "-- name: b\nALTER TABLE {failed} ADD COLUMN b text;\n"
    number = add_step(next_version, monkeypatch, text)
    newer = driver_on(new_postgres_schema)
    await newer.open()
    done.set()
    assert await working >= 3
    assert number in await versions(new_postgres_schema)
    await newer.close()


async def test_a_table_in_use_is_not_waited_for_for_ever(
    old: Schema, next_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for its lock keeps all others waiting as well."""
    add_step(next_version, monkeypatch, "-- name: a\nALTER TABLE {jobs} ADD COLUMN a bigint;\n")
    hurry = "SET LOCAL lock_timeout = '50ms'"
    driver = driver_on(old)
    text = driver._sql.text

    def in_a_hurry(address: str, marks: Any = None) -> str:
        return hurry if address == "open.hurry" else text(address, marks)

    monkeypatch.setattr(driver._sql, "text", in_a_hurry)
    stranger = await asyncpg.connect(old.dsn)
    async with stranger.transaction():
        await stranger.execute(f"SELECT FROM {old.name}.jobs")
        with pytest.raises(DriverUnavailable, match="other transactions are in the way"):
            await driver.open()
        assert await versions(old) == {1}
    await stranger.close()
    await driver.open()
    await driver.close()
