"""What the driver changes about asyncpg."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue.drivers.postgres import PostgresDriver, wire
from asyncqueue.drivers.postgres.place import Place
from asyncqueue.errors import DriverUnavailable

from .acts import claim, record

if TYPE_CHECKING:
    from ...servers.schemas import Schema


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[int]]:
    """Which types the server was asked about, of a process that has asked nothing yet."""
    asked: list[frozenset[int]] = []
    ask = asyncpg.Connection._introspect_types

    async def noting(self, typeoids, timeout):
        asked.append(frozenset(typeoids))
        return await ask(self, typeoids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", noting)
    monkeypatch.setattr(wire, "_built_in", {})
    return asked


@pytest.mark.parametrize("statements", [0, 100])
async def test_built_in_types_are_asked_about_once_in_a_process(
    postgres_url: str, asked: list[frozenset[int]], statements: int
):
    place = Place(postgres_url, 4, 10.0, statements)
    for _ in range(3):
        connection = await wire.connect(place, tuned=True, timeout=10.0)
        rows = await connection.fetch("SELECT $1::bigint[], $2::float8[]", [1, 2], [0.5])
        assert [tuple(row) for row in rows] == [([1, 2], [0.5])]
        await connection.close()
    assert len(asked) == 1


async def test_types_of_the_database_itself_are_asked_about_on_every_connection(
    postgres_url: str, asked: list[frozenset[int]]
):
    """Another database may have another type under the same number."""
    place = Place(postgres_url, 4, 10.0, 100)
    maker = await wire.connect(place, tuned=True, timeout=10.0)
    await maker.execute("CREATE TYPE mood AS ENUM ('fine', 'bad')")
    try:
        for _ in range(2):
            connection = await wire.connect(place, tuned=True, timeout=10.0)
            assert [row[0] for row in await connection.fetch("SELECT 'bad'::mood")] == ["bad"]
            await connection.close()
        assert len(asked) == 2
    finally:
        await maker.execute("DROP TYPE mood")
        await maker.close()


@pytest.fixture
def drops(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """As many statements lose their connection after they were prepared, before they are sent."""
    drops: list[None] = []
    prepare = asyncpg.Connection._get_statement

    async def dropped(self, *args, **more):
        statement = await prepare(self, *args, **more)
        if drops:
            drops.pop()
            self.terminate()
        return statement

    monkeypatch.setattr(asyncpg.Connection, "_get_statement", dropped)
    return drops


async def test_a_statement_that_was_not_sent_is_sent_over_another_connection(
    driver: PostgresDriver, drops: list[None]
):
    drops.append(None)
    await driver.enqueue([record("a")])
    drops.append(None)
    assert [job.id for job in await claim(driver)] == ["a"]
    assert drops == []


async def test_connections_that_are_dropped_again_and_again_are_a_server_that_is_away(
    driver: PostgresDriver, drops: list[None]
):
    drops.extend([None] * 100)
    with pytest.raises(DriverUnavailable, match="the connection was dropped"):
        await driver.enqueue([record("a")])
    drops.clear()
    assert await claim(driver) == []


async def test_a_dropped_connection_of_the_callers_own_is_told_as_that(
    driver: PostgresDriver, postgres_schema: Schema, drops: list[None]
):
    connection = await asyncpg.connect(postgres_schema.dsn)
    await connection.transaction().start()
    drops.append(None)
    with pytest.raises(DriverUnavailable, match="connection"):
        await driver.enqueue([record("a")], within=connection)
    assert await claim(driver) == []


async def test_an_error_of_another_kind_stays_what_it_is(driver: PostgresDriver, monkeypatch):
    def broken(*_: object) -> None:
        return None.absent  # type: ignore[attr-defined]

    monkeypatch.setattr("asyncqueue.drivers.postgres.session.Store", broken)
    with pytest.raises(AttributeError, match="absent"):
        await driver.enqueue([record("a")])
