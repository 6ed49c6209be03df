"""Runs the examples, each once and each in an empty folder."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from .pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PYTEST = (
    "-q",
    *("-p", "no:cacheprovider"),
    *("-p", "asyncqueue.testing.plugin"),  # as its installation would
    *("-c", os.devnull),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
    "--asyncqueue-seeds=40",
)


@pytest.fixture(scope="session")
def run_example():
    """Answers what a script or a test file among the examples printed; fails if it fails."""

    @functools.cache
    def run(path: Path) -> str:
        command = ["-m", "pytest", *PYTEST] if path.name.startswith("test_") else []
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, *command, str(path)],
                cwd=folder,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, f"{path.name} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def environment() -> dict[str, str]:
    """The environment of a newcomer: no settings of ours, and this checkout to import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
