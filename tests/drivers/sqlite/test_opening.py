"""Files that cannot be used, and names that cannot be given."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver, connection
from asyncqueue.errors import ConfigError, DriverError, DriverUnavailable
from tests.drivers.sqlite.acts import lines, record, sql, start_child, states

HOSTILE = [
    "",
    " ",
    "jobs; DROP TABLE x",
    'jobs"',
    "jobs'--",
    "jöbs",
    "1jobs",
    "my-jobs",
    "my.jobs",
    "jobs\n",
    "jobs\0",
    "j" * 64,
    "sqlite_jobs",
    "SQLite_x",
    None,
    7,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_table_names(name: str) -> None:
    """Refused before anything is touched."""
    with pytest.raises(ConfigError, match="^table="):
        SqliteDriver("queue.db", table=name)
    with pytest.raises(ConfigError, match="^failed_table="):
        SqliteDriver("queue.db", failed_table=name)


@pytest.mark.parametrize("failed", ["jobs", "JOBS", "jobs_meta", "Jobs_Ready", "jobs_id"])
def test_two_things_cannot_share_a_name(failed: str) -> None:
    with pytest.raises(ConfigError, match="give another name"):
        SqliteDriver("queue.db", failed_table=failed)


@pytest.mark.case("CFG-03")
@pytest.mark.parametrize("name", ["select", "order", "_", "Jobs2", "j" * 63])
async def test_unusual_table_names(path: Path, name: str) -> None:
    """Names of SQL's own are names like others."""
    driver = SqliteDriver(path, table=name, failed_table="x" + name[:62])
    await driver.open()
    assert await driver.enqueue([record("a")]) == [None]
    assert set(await states(driver)) == {"a"}
    await driver.close()
    assert sql(path, f'SELECT id FROM "{name}"') == [("a",)]


def test_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match="use memory://"):
        SqliteDriver(":memory:")


def test_settings_that_cannot_be_meant() -> None:
    with pytest.raises(ConfigError, match="give one of OFF, NORMAL, FULL, EXTRA"):
        SqliteDriver("queue.db", synchronous="SOMETIMES")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="busy_timeout=-1"):
        SqliteDriver("queue.db", busy_timeout=-1)


def test_constructing_touches_nothing(path: Path) -> None:
    """Contract, section 2."""
    SqliteDriver(path)
    assert not path.exists()


@pytest.mark.case("DRV-22")
async def test_a_missing_directory(tmp_path: Path) -> None:
    driver = SqliteDriver(tmp_path / "nowhere" / "queue.db")
    with pytest.raises(DriverUnavailable, match="there is no directory .*nowhere; create it"):
        await driver.open()


@pytest.mark.case("DRV-22")
async def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(DriverUnavailable, match="is a directory"):
        await SqliteDriver(tmp_path).open()


@pytest.mark.case("DRV-22")
async def test_not_a_database(path: Path) -> None:
    """And it is left as it is."""
    text = "Dear diary, this is not a database. " * 100
    path.write_text(text)
    with pytest.raises(DriverUnavailable, match="is not an SQLite database") as caught:
        await SqliteDriver(path).open()
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert path.read_text() == text


@pytest.mark.case("DRV-22")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user to become another one")
@pytest.mark.parametrize("what", ["directory", "file"])
async def test_no_rights(what: str) -> None:
    """A read-only directory, a read-only file."""
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "queue.db"
        if what == "file":
            sqlite3.connect(path).close()
            path.touch()
            path.chmod(0o444)
        folder.chmod(0o755)
        (told,) = await lines(await start_child("open_as_nobody", path))
        assert str(path) in told
        assert "check" in told
    finally:
        shutil.rmtree(folder)


@pytest.mark.case("DRV-22")
async def test_an_old_sqlite(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(DriverError, match=r"needs 3\.35 or newer"):
        await SqliteDriver(path).open()


async def test_tables_of_another_version(path: Path) -> None:
    """Not touched by an asyncqueue that does not know them."""
    driver = SqliteDriver(path)
    await driver.open()
    await driver.close()
    sql(path, "UPDATE jobs_meta SET value = '99' WHERE kind = 'schema'")
    with pytest.raises(DriverError, match="have version 99 and this asyncqueue knows version"):
        await driver.open()


@pytest.mark.parametrize("table", ["jobs", "failed_jobs"])
async def test_tables_of_somebody_else(path: Path, table: str) -> None:
    """An application's own table is not taken for a queue's; nothing is half-created."""
    sql(path, f"CREATE TABLE {table} (title TEXT)")
    with pytest.raises(DriverError, match=f"has a table '{table}' already"):
        await SqliteDriver(path).open()
    assert sql(path, "SELECT name FROM sqlite_schema") == [(table,)]


async def test_the_application_may_use_the_file_too(path: Path) -> None:
    """User_version and the application's tables stay its own."""
    sql(path, "CREATE TABLE orders (id INTEGER)")
    sql(path, "PRAGMA user_version = 7")
    driver = SqliteDriver(path)
    await driver.open()
    await driver.close()
    assert sql(path, "PRAGMA user_version") == [(7,)]


@pytest.mark.case("CFG-03")
async def test_two_queues_in_one_file(path: Path) -> None:
    """Each with tables of its own."""
    one = SqliteDriver(path)
    two = SqliteDriver(path, table="others", failed_table="failed_others")
    await one.open()
    await two.open()
    await one.enqueue([record("a")])
    await two.enqueue([record("b")])
    assert set(await states(one)) == {"a"}
    assert set(await states(two)) == {"b"}
    await one.close()
    await two.close()


async def test_another_failed_table(path: Path) -> None:
    """It is created when it is asked for."""
    for failed_table in ("failed_jobs", "graveyard", "graveyard"):
        driver = SqliteDriver(path, failed_table=failed_table)
        await driver.open()
        await driver.counts()
        await driver.close()
    tables = sql(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")
    assert {"failed_jobs", "graveyard"} <= {name for (name,) in tables}
