"""What the driver changes about asyncpg."""

from __future__ import annotations

import asyncpg
import pytest

from asyncqueue.drivers.postgres import wire
from asyncqueue.drivers.postgres.place import Place


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
