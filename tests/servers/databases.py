"""A PostgreSQL server for the tests of one process, and a schema for each test."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from .memory import in_memory
from .postgres import Model, PostgresServer, given_url, make_model, short_folder, start_postgres
from .schemas import Schema, Schemas

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres_model() -> Iterator[Model]:
    """What all servers begin with."""
    folder = short_folder(in_memory())
    try:
        yield make_model(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the tests' own, or the one they were lent."""
    url = given_url()
    if url is not None:
        yield url
        return
    folder = short_folder(in_memory())
    try:
        server = start_postgres(folder, request.getfixturevalue("postgres_model"))
        yield server.url()
        server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_schemas(postgres_url: str) -> Iterator[Schemas]:
    """Where each test gets its schema from."""
    with closing(Schemas(postgres_url)) as schemas:
        yield schemas
        if given_url() is not None:
            schemas.drop()


@pytest.fixture
def postgres_schema(postgres_schemas: Schemas) -> Iterator[Schema]:
    """A schema without any job: it does not exist yet, or its tables are empty."""
    schema = postgres_schemas.take()
    yield schema
    postgres_schemas.give_back(schema)


@pytest.fixture
def new_postgres_schema(postgres_schemas: Schemas) -> Schema:
    """A schema that does not exist yet."""
    return postgres_schemas.new()


@pytest.fixture
def postgres_server(postgres_model: Model) -> Iterator[PostgresServer]:
    """A server that a test may pause, kill and restart: nobody else uses it."""
    folder = short_folder(in_memory())
    try:
        server = start_postgres(folder, postgres_model, synchronous_commit="on")
        yield server
        server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
