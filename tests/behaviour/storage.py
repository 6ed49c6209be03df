"""The stores of the drivers, read and written behind their backs, as somebody with access may."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import msgspec

from asyncqueue.drivers.redis.encoding import read_body

from ..drivers.redis.acts import operator

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from asyncqueue.drivers.memory import MemoryDriver

    from ..servers.schemas import Schema

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


READS: dict[str, tuple[str, tuple[int, ...]]] = {
    "string": ("GET", ()),
    "hash": ("HGETALL", ()),
    "set": ("SMEMBERS", ()),
    "list": ("LRANGE", (0, -1)),
    "zset": ("ZRANGE", (0, -1)),
}
"""The commands that show the whole of a key."""


class Storage(Protocol):
    """What can be done to a store."""

    async def write(self, id: str, **columns: Any) -> None:
        """Overwrite payload, name, max_attempts or result of a job."""

    async def dump(self) -> bytes:
        """Everything that is in it."""


class MemoryStorage:
    def __init__(self, driver: MemoryDriver) -> None:
        self._entries = driver._store.entries

    async def write(self, id: str, **columns: Any) -> None:
        for column, value in columns.items():
            setattr(self._entries[id], column, value)

    async def dump(self) -> bytes:
        return repr(self._entries).encode()


class SqliteStorage:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, id: str, **columns: Any) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            for column, value in columns.items():
                for table in ("jobs", "failed_jobs"):
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (value, id))

    async def dump(self) -> bytes:
        return b"".join(file.read_bytes() for file in self._path.parent.glob(f"{self._path.name}*"))


class PostgresStorage:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    async def write(self, id: str, **columns: Any) -> None:
        connection = await asyncpg.connect(self._schema.dsn)
        try:
            for column, value in columns.items():
                for table in ("jobs", "failed_jobs"):
                    await connection.execute(
                        f"UPDATE {self._schema.name}.{table} SET {column} = $1 WHERE id = $2",
                        value,
                        id,
                    )
        finally:
            await connection.close()

    async def dump(self) -> bytes:
        connection = await asyncpg.connect(self._schema.dsn)
        try:
            tables = await connection.fetch(
                "SELECT tablename FROM pg_tables WHERE schemaname = $1", self._schema.name
            )
            rows = [
                await connection.fetch(f"SELECT * FROM {self._schema.name}.{table['tablename']}")
                for table in tables
            ]
        finally:
            await connection.close()
        return repr(rows).encode()


class RedisStorage:
    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._tag = f"{{{prefix}:0}}"

    async def write(self, id: str, **columns: Any) -> None:
        async with operator(self._url) as client:
            number = await client.call("HGET", f"{self._tag}:ids", id)
            if "result" in columns:
                _, *rest = decode(await client.call("HGET", f"{self._tag}:outcome", number))
                outcome = encode((columns.pop("result"), *rest))
                await client.call("HSET", f"{self._tag}:outcome", number, outcome)
            text = await client.call("HGET", f"{self._tag}:body", number)
            body = read_body(text)
            content = encode((body.name, body.max_attempts, body.payload))
            assert text.endswith(content)
            changed = (
                columns.get("name", body.name),
                columns.get("max_attempts", body.max_attempts),
                columns.get("payload", body.payload),
            )
            text = text.removesuffix(content) + encode(changed)
            await client.call("HSET", f"{self._tag}:body", number, text)

    async def dump(self) -> bytes:
        found = []
        async with operator(self._url) as client:
            for key in await client.call("KEYS", f"{self._tag}*"):
                command, range_of_all = READS[(await client.call("TYPE", key)).decode()]
                found += [key, await client.call(command, key, *range_of_all)]
        return repr(found).encode()


def storage_of(name: str, request: pytest.FixtureRequest, driver: Any) -> Storage:
    """The store of this driver's fixture."""
    if name == "memory":
        return MemoryStorage(driver)
    if name == "sqlite":
        return SqliteStorage(driver.path)
    if name == "postgres":
        return PostgresStorage(request.getfixturevalue("postgres_schema"))
    prefix = request.getfixturevalue("redis_prefix")
    return RedisStorage(request.getfixturevalue("redis_url"), prefix)
