"""A PostgreSQL server for the tests of one process, and a schema of its own for each test."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg
import pytest

from .postgres import PostgresServer, given_url, short_folder, start_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = f"asyncqueue_test_{os.getpid()}_"
_numbers = itertools.count(1)


class Schema(NamedTuple):
    """Where the tables of one test are."""

    dsn: str
    name: str


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of the tests' own, or the one they were lent."""
    url = given_url()
    if url is not None:
        yield url
        _in_a_thread(_drop_schemas(url))
        return
    folder = short_folder()
    try:
        server = start_postgres(folder)
        yield server.url()
        server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_schema(postgres_url: str) -> Schema:
    """A schema that does not exist yet."""
    return Schema(postgres_url, f"{PREFIX}{next(_numbers)}")


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """A server that a test may pause, kill and restart: nobody else uses it."""
    folder = short_folder()
    try:
        server = start_postgres(folder, synchronous_commit="on")
        yield server
        server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _drop_schemas(url: str) -> None:
    connection = await asyncpg.connect(url)
    for (name,) in await connection.fetch(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE $1", f"{PREFIX}%"
    ):
        await connection.execute(f'DROP SCHEMA "{name}" CASCADE')
    await connection.close()


def _in_a_thread(act) -> None:
    """The event loop of this thread belongs to the tests."""
    thread = threading.Thread(target=asyncio.run, args=(act,))
    thread.start()
    thread.join()
