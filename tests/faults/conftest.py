"""What the scenarios start from, and the table of figures at the end of a run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ..servers.redis import RedisServer, start_redis
from .scene import Scene
from .stores import DURABLE_REDIS, KINDS, SERVERS, Store, postgres_store, redis_store, sqlite_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

Figure = Callable[[str, object], None]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def durable_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that scenarios share: none may stop it."""
    server = start_redis(tmp_path_factory.mktemp("redis"), *DURABLE_REDIS)
    yield server
    server.kill()


def _shared(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    if kind == "sqlite":
        return sqlite_store(folder)
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("durable_redis")
        return redis_store(server.port, f"faults{next(_numbers)}")
    place = request.getfixturevalue("postgres_schema")
    port = int(place.dsn.rpartition(":")[2].partition("/")[0])
    return postgres_store(port, place.name)


def _own(kind: str, request: pytest.FixtureRequest) -> Store:
    if kind == "redis":
        server = request.getfixturevalue("own_redis")(*DURABLE_REDIS)
        return redis_store(server.port, "faults", server)
    server = request.getfixturevalue("postgres_server")
    return postgres_store(server.port, "faults", server)


@pytest.fixture(params=KINDS)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene on each store. The server goes on, whatever happens."""
    async with Scene(tmp_path, _shared(request.param, request, tmp_path)) as scene:
        yield scene


@pytest.fixture(params=SERVERS)
async def server_scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene on each server, which is shared and goes on; ways to it may be cut."""
    async with Scene(tmp_path, _shared(request.param, request, tmp_path)) as scene:
        yield scene


@pytest.fixture(params=SERVERS)
async def own_scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene on a server of its own, which may be stopped and killed."""
    async with Scene(tmp_path, _own(request.param, request)) as scene:
        yield scene


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Takes a figure for the table: what it is, and how much it was."""
    return lambda what, value: record_property(f"figure {what}", _shown(value))


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        (report.nodeid.partition("::")[2], name.removeprefix("figure "), value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name.startswith("figure ") and report.when == "call"
    ]
    if rows:
        terminalreporter.section("figures")
        for scenario, name, value in sorted(rows):
            terminalreporter.write_line(f"{scenario:70} {name:48} {value:>12}")
