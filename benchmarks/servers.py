"""PostgreSQL as it comes, where the servers of the tests have settings that make them fast."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.postgres import PostgresServer

PRODUCTION = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "min_wal_size": "80MB",
    "max_wal_size": "1GB",
}
WAL_SEGMENT = 16
"""MiB."""


@contextlib.contextmanager
def own_postgres() -> Iterator[PostgresServer]:
    """A private server: every commit is on the disk before it is answered."""
    # Who measures the other stores need not have what this imports.
    from tests.servers.postgres import make_model, short_folder, start_postgres  # noqa: PLC0415

    folder = short_folder()
    try:
        model = make_model(folder, wal_segment=WAL_SEGMENT)
        server = start_postgres(folder / "server", model, **PRODUCTION)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
