"""The programs that measure, and those that go on for long, still do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults
PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("store", ["redis", "postgres"])
def test_the_table_of_the_peers(store: str) -> None:
    row = run("benchmarks.peers", store, "--samples", "1", "--scale", "0.002", "asyncqueue")
    cells = [cell.strip() for cell in row.splitlines()[4].split("|")[1:-1]]
    assert cells[0].startswith("asyncqueue")
    assert all(cells)


def test_a_soak() -> None:
    assert "PROBLEM" not in run("benchmarks.soak", "kills", "--store", "postgres", "--seconds", "1")


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PROJECT,
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
