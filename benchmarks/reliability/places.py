"""A private server for each scenario, on which nothing that is lost is the server's loss."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.scene import Scene
from tests.faults.stores import DURABLE_REDIS, Store, postgres_store, redis_store, sqlite_store
from tests.servers.postgres import short_folder, start_postgres
from tests.servers.redis import start_redis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

DURABLE_POSTGRES = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@contextlib.asynccontextmanager
async def scene_on(kind: str) -> AsyncGenerator[Scene]:
    """A scene with a store of its own, all of which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="asyncqueue-faults-"))
    try:
        with store_of(kind, folder) as store:
            async with Scene(folder / "scene", store) as scene:
                yield scene
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def store_of(kind: str, folder: Path) -> Generator[Store]:
    """A store of this kind: ``sqlite``, ``postgres`` or ``redis``."""
    if kind == "sqlite":
        yield sqlite_store(folder)
        return
    if kind == "redis":
        redis = start_redis(folder / "redis", *DURABLE_REDIS)
        try:
            yield redis_store(redis.port, "faults", redis)
        finally:
            redis.kill()
        return
    place = short_folder()
    try:
        postgres = start_postgres(place, **DURABLE_POSTGRES)
        yield postgres_store(postgres.port, "faults", postgres)
        postgres.kill()
    finally:
        shutil.rmtree(place, ignore_errors=True)
