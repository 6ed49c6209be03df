"""Databases that cannot be used, tables of somebody else, and names that cannot be given."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.errors import ConfigError, DriverError, DriverUnavailable

from .acts import claim, record, sql, states

if TYPE_CHECKING:
    from ...servers.postgres import PostgresServer
    from ...servers.schemas import Schema

HOSTILE = [
    "",
    " ",
    "jobs; DROP TABLE x",
    'jobs"',
    "jöbs",
    "1jobs",
    "my.jobs",
    "j\0",
    "j" * 64,
    None,
]


@pytest.mark.parametrize("option", ["schema", "table", "failed_table"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(option: str, name: str) -> None:
    """Refused before anything is touched."""
    with pytest.raises(ConfigError, match=f"^{option}="):
        PostgresDriver("postgresql://h/db", **{option: name})


@pytest.mark.case("CFG-03")
@pytest.mark.parametrize("name", ["select", "_", "Jobs2", "j" * 52])
async def test_unusual_table_names(new_postgres_schema: Schema, name: str) -> None:
    """Names of SQL's own are names like others."""
    driver = PostgresDriver(
        new_postgres_schema.dsn,
        schema=new_postgres_schema.name,
        table=name,
        failed_table=f"x{name[:50]}",
    )
    await driver.open()
    assert await driver.enqueue([record("a")]) == [None]
    await driver.close()
    rows = await sql(new_postgres_schema.dsn, f'SELECT id FROM {new_postgres_schema.name}."{name}"')
    assert [row[0] for row in rows] == ["a"]


@pytest.mark.case("CFG-03")
async def test_queues_share_a_schema_by_names(new_postgres_schema: Schema) -> None:
    place = new_postgres_schema
    one = PostgresDriver(place.dsn, schema=place.name)
    two = PostgresDriver(place.dsn, schema=place.name, table="work", failed_table="broken")
    for driver in (one, two):
        await driver.open()
    await one.enqueue([record("a")])
    await two.enqueue([record("b")])
    assert (set(await states(one)), set(await states(two))) == ({"a"}, {"b"})
    for driver in (one, two):
        await driver.close()


async def test_any_number_may_create_the_tables_at_once(new_postgres_schema: Schema) -> None:
    place = new_postgres_schema
    drivers = [PostgresDriver(place.dsn, schema=place.name) for _ in range(8)]
    await asyncio.gather(*(driver.open() for driver in drivers))
    await drivers[0].enqueue([record("a")])
    assert len(await claim(drivers[-1])) == 1
    await asyncio.gather(*(driver.close() for driver in drivers))


CHILD = """
import asyncio, sys
from asyncqueue.drivers.postgres import PostgresDriver

async def main():
    driver = PostgresDriver(sys.argv[1], schema=sys.argv[2])
    sys.stdin.readline()
    await driver.open()
    print(len(await driver.counts()))
    await driver.close()

asyncio.run(main())
"""


async def test_processes_create_the_tables_at_once(new_postgres_schema: Schema) -> None:
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHILD, *new_postgres_schema),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]
    outs = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    assert [out for out, _ in outs] == [b"0\n"] * 3


@pytest.mark.case("DRV-22")
async def test_tables_of_another_version_are_refused(new_postgres_schema: Schema) -> None:
    """Nothing is touched."""
    place = new_postgres_schema
    driver = PostgresDriver(place.dsn, schema=place.name)
    await driver.open()
    await driver.close()
    await sql(place.dsn, f"UPDATE {place.name}.jobs_meta SET value = '99' WHERE kind = 'schema'")
    with pytest.raises(DriverError, match="version 99") as caught:
        await driver.open()
    assert not isinstance(caught.value, DriverUnavailable)


@pytest.mark.parametrize("table", ["jobs", "failed_jobs"])
async def test_tables_of_somebody_else_are_left_alone(
    new_postgres_schema: Schema, table: str
) -> None:
    place = new_postgres_schema
    await sql(place.dsn, f"CREATE SCHEMA {place.name}")
    await sql(place.dsn, f"CREATE TABLE {place.name}.{table} (mine text)")
    driver = PostgresDriver(place.dsn, schema=place.name)
    with pytest.raises(DriverError, match=table):
        await driver.open()
    assert await sql(place.dsn, f"SELECT mine FROM {place.name}.{table}") == []
    assert await sql(place.dsn, "SELECT to_regclass($1)", f"{place.name}.jobs_meta") == [(None,)]


async def test_a_closed_driver_says_so(new_postgres_schema: Schema) -> None:
    driver = PostgresDriver(new_postgres_schema.dsn, schema=new_postgres_schema.name)
    with pytest.raises(DriverError, match="closed; open it first"):
        await driver.enqueue([record("a")])


def test_one_driver_serves_one_event_loop_after_another(new_postgres_schema: Schema) -> None:
    """The loop before has ended without a goodbye."""
    driver = PostgresDriver(new_postgres_schema.dsn, schema=new_postgres_schema.name)

    async def begin() -> None:
        await driver.open()
        await driver.enqueue([record("a")])

    async def go_on() -> int:
        got = len(await claim(driver))
        await driver.close()
        return got

    asyncio.run(begin())
    assert asyncio.run(go_on()) == 1


async def test_two_event_loops_may_use_it_at_once(driver: PostgresDriver) -> None:
    """Each has its connections."""

    async def elsewhere() -> None:
        await driver.enqueue([record("a")])
        with driver.watch(["queue:q"]) as watch:
            here.call_soon_threadsafe(begun.set)
            await watch.wait(10)

    here, begun = asyncio.get_running_loop(), asyncio.Event()
    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    await begun.wait()
    assert len(await claim(driver)) == 1
    await driver.enqueue([record("b")])
    async with asyncio.timeout(5):
        await thread
    assert set(await states(driver)) == {"a", "b"}


async def test_a_driver_can_be_closed_for_all_its_event_loops(driver: PostgresDriver) -> None:
    here, begun = asyncio.get_running_loop(), asyncio.Event()

    async def elsewhere() -> str:
        await driver.ping()
        ending = asyncio.Event()
        endings.append((asyncio.get_running_loop(), ending))
        here.call_soon_threadsafe(begun.set)
        await ending.wait()
        try:
            await driver.ping()
        except DriverError as error:
            return str(error)
        return "open"

    endings: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    await begun.wait()
    await driver.close()
    loop, ending = endings[0]
    loop.call_soon_threadsafe(ending.set)
    assert "closed; open it first" in await thread


@pytest.mark.case("DRV-22")
@pytest.mark.parametrize(
    ("user", "database"), [("nobody_here", "postgres"), ("postgres", "nothing_here")]
)
async def test_a_wrong_user_or_database_is_told(
    new_postgres_schema: Schema, user: str, database: str
) -> None:
    """An operator may mend it while workers wait."""
    host = new_postgres_schema.dsn.rpartition("@")[2].partition("/")[0]
    driver = PostgresDriver(f"postgresql://{user}:s3cret@{host}/{database}")
    with pytest.raises(DriverUnavailable, match="nobody_here|nothing_here") as caught:
        await driver.open()
    assert "s3cret" not in str(caught.value)
    await driver.close()


@pytest.mark.case("DRV-22")
async def test_a_wrong_password_is_told(postgres_server: PostgresServer) -> None:
    """And it is not repeated."""
    await sql(postgres_server.url(), "CREATE USER guarded PASSWORD 'right'")
    hba = postgres_server.folder / "data" / "pg_hba.conf"
    hba.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    await sql(postgres_server.url(), "SELECT pg_reload_conf()")
    postgres_server.restart()
    driver = PostgresDriver(postgres_server.url(user="guarded:wr0ng"), schema="q")
    with pytest.raises(DriverUnavailable, match="check user and password") as caught:
        await driver.open()
    assert "wr0ng" not in str(caught.value)


async def test_a_user_without_rights_is_told(postgres_server: PostgresServer) -> None:
    await sql(postgres_server.url(), "CREATE USER humble")
    driver = PostgresDriver(postgres_server.url(user="humble"), schema="q")
    with pytest.raises(DriverError, match="grant the user"):
        await driver.open()


async def test_a_user_needs_no_right_to_create_where_the_tables_are(
    postgres_server: PostgresServer,
) -> None:
    """A deployment creates them, the application uses them."""
    owner = PostgresDriver(postgres_server.url(), schema="q")
    await owner.open()
    await sql(postgres_server.url(), "CREATE USER humble")
    await sql(postgres_server.url(), "GRANT USAGE ON SCHEMA q TO humble")
    await sql(
        postgres_server.url(),
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA q TO humble",
    )
    driver = PostgresDriver(postgres_server.url(user="humble"), schema="q")
    await driver.open()
    await driver.enqueue([record("a")])
    assert len(await claim(driver)) == 1
    await driver.close()
    await owner.close()


async def test_the_tables_can_be_made_by_hand(postgres_server: PostgresServer) -> None:
    """What `migrate --sql` prints is all that a user without rights needs."""
    owner = PostgresDriver(postgres_server.url(), schema="q")
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute(owner.schema_sql())
    await connection.execute(
        "CREATE USER humble; GRANT USAGE ON SCHEMA q TO humble;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA q TO humble"
    )
    await connection.close()
    driver = PostgresDriver(postgres_server.url(user="humble"), schema="q")
    await driver.open()
    assert await driver.enqueue([record("a")]) == [None]
    await driver.close()


@pytest.mark.case("DRV-22")
async def test_a_read_only_database_is_not_available(postgres_server: PostgresServer) -> None:
    """After a failover the old primary takes no writes; it may again."""
    driver = PostgresDriver(postgres_server.url(), schema="q")
    await driver.open()
    await sql(
        postgres_server.url(), "ALTER DATABASE postgres SET default_transaction_read_only = on"
    )
    reader = driver.clone()
    await reader.open()
    with pytest.raises(DriverUnavailable, match="standby"):
        await reader.enqueue([record("a")])
    assert ("writable", False) in [finding[:2] for finding in await reader.diagnose()]
    await reader.close()
    await driver.close()


async def test_the_doctor_is_told(driver: PostgresDriver) -> None:
    findings = await driver.diagnose()
    assert all(fine for _, fine, _ in findings), findings
    assert {"server", "writable", "clock"} <= {what for what, _, _ in findings}
