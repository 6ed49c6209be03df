"""A job whose limits were damaged runs without them, and the log says which one."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.record import Limited, State
from asyncqueue.testing.conformance.rules import claim, end, record

from ..drivers.redis.acts import operator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncqueue.drivers.base import Driver

    from ..servers.schemas import Schema

NO_PERMITS = json.dumps([["k", 0, None]])
"""A limit that lets nobody in."""


async def claims_in_time(
    driver: Driver, damage: Callable[[], Awaitable[object]], caplog: pytest.LogCaptureFixture
) -> None:
    """Claim one that was damaged among others that were not, and again after it came back."""
    limits = (Limited("k", 1),)
    names = ("first", "damaged", "waits")
    await driver.enqueue([record(name, limits=limits, payload=b"secret") for name in names])
    assert [one.id for one in await claim(driver, limit=1)] == ["first"]
    await driver.enqueue([record("turn", limits=(Limited("other", 1),), fair="a")])
    await damage()
    with caplog.at_level(logging.WARNING):
        again = {one.id: one for one in await claim(driver)}
        assert again.keys() == {"damaged", "turn"}
        await end(driver, again["damaged"], State.PENDING)
        assert [one.id for one in await claim(driver)] == ["damaged"]
    said = [one.getMessage() for one in caplog.records if one.name == f"asyncqueue.{driver.name}"]
    why = "as what is stored of them cannot be read"
    assert said == [f"Job damaged runs without its limits, {why}"] * 2
    await driver.close()


@pytest.mark.parametrize("text", ["", "[", NO_PERMITS, 7])
async def test_sqlite(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    driver = SqliteDriver(tmp_path / "jobs.db")
    await driver.open()

    async def damage() -> None:
        with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as other:
            other.execute("UPDATE jobs SET limits = ? WHERE id = 'damaged'", (text,))

    await claims_in_time(driver, damage, caplog)


@pytest.mark.parametrize("text", ["", "[", NO_PERMITS])
async def test_postgres(
    text: str, postgres_schema: Schema, caplog: pytest.LogCaptureFixture
) -> None:
    driver = PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name)
    await driver.open()

    async def damage() -> None:
        connection = await asyncpg.connect(postgres_schema.dsn)
        table = f'"{postgres_schema.name}".jobs'
        await connection.execute(f"UPDATE {table} SET limits = $1 WHERE id = 'damaged'", text)
        await connection.close()

    await claims_in_time(driver, damage, caplog)


@pytest.mark.parametrize("text", [None, b"", b"garbage", b"\x00" * 40])
async def test_redis(
    text: bytes | None, redis_url: str, redis_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    driver = RedisDriver(redis_url, prefix=redis_prefix)
    await driver.open()
    tag = f"{{{redis_prefix}:0}}"

    async def damage() -> None:
        async with operator(redis_url) as other:
            number = await other.call("HGET", f"{tag}:ids", "damaged")
            if text is None:
                await other.call("HDEL", f"{tag}:wants", number)
            else:
                await other.call("HSET", f"{tag}:wants", number, text)

    await claims_in_time(driver, damage, caplog)
