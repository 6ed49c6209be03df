"""The stores of the scenarios: where they are, for workers, for the test, and through a proxy."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asyncqueue import Settings

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from ..servers.process import ServerProcess

DURABLE_REDIS: Final = ("--appendonly", "yes", "--appendfsync", "always")
"""So that nothing that is lost is the server's loss."""
KINDS: Final = ("postgres", "redis", "sqlite")
SERVERS: Final = ("postgres", "redis")


@dataclass(kw_only=True)
class Store:
    """A store of one scenario's own; ``{port}`` in ``url`` is the server's, or a proxy's."""

    kind: str
    url: str
    port: int = 0
    prefix: str = "faults"
    server: ServerProcess | None = None
    timeout: float = 5.0
    """Seconds until a call to a server counts as unanswered."""

    def at(self, port: int | None = None) -> str:
        """Its URL."""
        if self.kind == "sqlite":
            return self.url
        sign = "&" if "?" in self.url else "?"
        return f"{self.url.format(port=port or self.port)}{sign}timeout={self.timeout}"

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """While nobody else holds the lock of the file, where it is one."""
        if self.kind != "sqlite":
            yield
            return
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=30.0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def variables(self, port: int | None = None) -> dict[str, str]:
        """The environment of a worker."""
        return {"QUEUE_URL": self.at(port), "QUEUE_PREFIX": self.prefix}

    def settings(self, port: int | None = None) -> Settings:
        """The same for this process."""
        return Settings(url=self.at(port), prefix=self.prefix)


def sqlite_store(folder: Path) -> Store:
    """A file."""
    return Store(kind="sqlite", url=f"sqlite:///{folder}/queue.db")


def redis_store(port: int, prefix: str, server: ServerProcess | None = None) -> Store:
    """A part of a Redis."""
    url = "redis://127.0.0.1:{port}/0"
    return Store(kind="redis", url=url, port=port, prefix=prefix, server=server)


def postgres_store(port: int, schema: str, server: ServerProcess | None = None) -> Store:
    """A schema of a PostgreSQL."""
    url = f"postgresql://postgres@127.0.0.1:{{port}}/postgres?schema={schema}"
    return Store(kind="postgres", url=url, port=port, server=server)
