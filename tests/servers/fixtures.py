"""Fixtures of the servers: one per test process, started when the first test asks for it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from .redis import RedisServer, ask, given_url, start_redis
from .redis_groups import RedisCluster, start_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_numbers = itertools.count()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that tests share: none may stop it, or change how it is set up."""
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """An empty database on the shared server, or on the one that was lent to the tests."""
    lent = given_url()
    if lent is not None:
        return lent
    server: RedisServer = request.getfixturevalue("redis_server")
    assert ask(server.port, "FLUSHALL") == "+OK\r\n"
    return server.url


@pytest.fixture
def redis_prefix() -> str:
    """A prefix that no other test has used."""
    return f"test{next(_numbers)}"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Servers of this test's own, to be stopped, killed and full; give words of a command line."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        servers.append(start_redis(tmp_path / f"redis{len(servers)}", *options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def redis_cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster that tests share: none may stop a node of it."""
    cluster = start_group(RedisCluster, tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.kill()
