"""A PgBouncer before the tests' PostgreSQL, which gives every transaction another connection."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .postgres import unprivileged
from .process import ServerProcess, free_port

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM_VARIABLE: Final = "ASYNCQUEUE_TEST_PGBOUNCER"
_PLACES: Final = ("/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer")


def find_program() -> str | None:
    """The program, if this machine has it: unlike the servers it comes in no Python package."""
    given = os.environ.get(PROGRAM_VARIABLE)
    candidates = [given] if given else [shutil.which("pgbouncer"), *_PLACES]
    return next((path for path in candidates if path and os.access(path, os.X_OK)), None)


class PgBouncer(ServerProcess):
    """A pooler in transaction mode with few connections to share."""

    def __init__(self, program: str, folder: Path, url: str) -> None:
        self.port = free_port()
        self._to = urlsplit(url)
        account = unprivileged()
        if account is not None:
            os.chown(folder, *account)
        settings = folder / "pgbouncer.ini"
        settings.write_text(self._settings(folder))
        super().__init__(
            [program, str(settings)],
            answers=self._accepts,
            log=folder / "pgbouncer.log",
            account=account,
            stop_signal=signal.SIGTERM,
        )

    @property
    def url(self) -> str:
        """The database, through the pooler."""
        return f"postgresql://{self._to.username}@127.0.0.1:{self.port}{self._to.path}"

    def _settings(self, folder: Path) -> str:
        (folder / "users.txt").write_text(f'"{self._to.username}" ""\n')
        return f"""
[databases]
* = host={self._to.hostname} port={self._to.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
"""

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
