"""The private servers that all peers of a run share."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from benchmarks.peers import processes
from benchmarks.servers import own_postgres

if TYPE_CHECKING:
    import asyncpg
    import redis

    from tests.servers.postgres import PostgresServer
    from tests.servers.redis import RedisServer


class Store(Protocol):
    """A running server."""

    name: str
    """With its version, for the head of the table."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

    @property
    def url(self) -> str:
        """What the peers are given."""
        ...

    def clear(self) -> None:
        """Make it as empty as a new one."""
        ...

    def unsettled(self, question: str) -> int:
        """Ask, in the store's own language, how many jobs are not settled."""
        ...

    def size(self) -> int:
        """Bytes that it holds."""
        ...

    def settle_down(self) -> None:
        """Do now what the server would do a minute after so many jobs were stored at once."""
        ...

    def pids(self) -> list[int]:
        """Its processes."""
        ...


class RedisStore:
    """Redis without persistence, as the figures that peers publish."""

    name = "Redis"
    _server: RedisServer
    _client: redis.Redis

    def __enter__(self) -> Self:
        import redis  # noqa: PLC0415 - who measures the other store need not have it

        from tests.servers.redis import start_redis  # noqa: PLC0415

        self._folder = Path(tempfile.mkdtemp(prefix="asyncqueue-peers-"))
        self._server = start_redis(self._folder, "--appendonly", "no")
        self._client = redis.Redis.from_url(self._server.url)
        facts = self._client.info("server")
        valkey, version = facts.get("valkey_version"), facts["redis_version"]
        self.name = f"{f'Valkey {valkey}' if valkey else f'Redis {version}'}, no persistence"
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()
        self._server.kill()
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        return self._server.url

    def clear(self) -> None:
        self._client.flushall()
        self._client.script_flush()

    def unsettled(self, question: str) -> int:
        return int(self._client.eval(question, 0))

    def settle_down(self) -> None:
        """Nothing."""

    def size(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def pids(self) -> list[int]:
        return [self._server.pid]


class PostgresStore:
    """PostgreSQL as it comes: every commit is on the disk before it is answered."""

    name = "PostgreSQL"
    _server: PostgresServer
    _connection: asyncpg.Connection | None = None
    _database = "peer"

    def __enter__(self) -> Self:
        self._loop = asyncio.Runner()
        self._own = contextlib.ExitStack()
        self._server = self._own.enter_context(own_postgres())
        version = self._run(self._fetch("postgres", "SHOW server_version"))
        self.name = f"PostgreSQL {version}, fsync and synchronous_commit on"
        return self

    def __exit__(self, *exc: object) -> None:
        self._forget()
        self._loop.close()
        self._own.close()

    @property
    def url(self) -> str:
        return self._server.url(self._database)

    def clear(self) -> None:
        self._forget()
        drop = f"DROP DATABASE IF EXISTS {self._database} WITH (FORCE)"
        self._run(self._fetch("postgres", drop))
        self._run(self._fetch("postgres", f"CREATE DATABASE {self._database}"))

    def unsettled(self, question: str) -> int:
        return int(self._run(self._ask(question)))

    def size(self) -> int:
        return int(self._run(self._ask(f"SELECT pg_database_size('{self._database}')")))

    def settle_down(self) -> None:
        self._run(self._ask("ANALYZE"))

    def pids(self) -> list[int]:
        return [self._server.pid, *processes.children(self._server.pid)]

    async def _ask(self, query: str) -> object:
        import asyncpg  # noqa: PLC0415 - who measures the other store need not have it

        if self._connection is None:
            self._connection = await asyncpg.connect(self.url)
        return await self._connection.fetchval(query)

    async def _fetch(self, database: str, query: str) -> object:
        import asyncpg  # noqa: PLC0415

        connection = await asyncpg.connect(self._server.url(database))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _run(self, coroutine):
        return self._loop.run(coroutine)


STORES: dict[str, type[Store]] = {"redis": RedisStore, "postgres": PostgresStore}
