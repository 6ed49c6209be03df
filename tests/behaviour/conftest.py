"""What jobs of batches and chains share with their test, and tables for effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.callbacks import callbacks

from .ledgers import PostgresLedger, SqliteLedger
from .linked import Scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncqueue import Queue
    from asyncqueue.testing import Clock


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """What jobs that belong together share with their test; its callbacks are registered."""
    monkeypatch.setattr(callbacks, "_named", {})
    scene = Scene()
    scene.register()
    return scene


@pytest.fixture
def linking(make_queue: Callable[..., Queue], scene: Scene) -> Queue:
    """A queue whose jobs share the scene."""
    return make_queue(services=[scene])


@pytest.fixture(params=["postgres", "sqlite"])
def ledger(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> SqliteLedger | PostgresLedger:
    """Where handlers write; only drivers with transactions."""
    if request.param == "sqlite":
        return SqliteLedger(tmp_path / "queue.db", clock)
    return PostgresLedger(request.getfixturevalue("postgres_schema"), clock)
