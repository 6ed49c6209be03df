"""A private server for each scenario, on which nothing that is lost is the server's loss."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.servers import own_postgres
from tests.faults.scene import Scene
from tests.faults.stores import DURABLE_REDIS, Store, postgres_store, redis_store, sqlite_store
from tests.servers.redis import start_redis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator


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
    with own_postgres() as postgres:
        yield postgres_store(postgres.port, "faults", postgres)
