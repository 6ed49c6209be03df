"""What the tests of the core share."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from asyncqueue.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and a directory of its own."""
    for name in list(os.environ):
        if name.startswith("QUEUE_") or name in ("REDIS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """What a test defines is forgotten after it."""
    registry = Registry()
    # By name: the attribute `job` of the package is the decorator.
    monkeypatch.setattr(import_module("asyncqueue.job"), "default_registry", registry)
    return registry
