from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import environment
from .pages import EXAMPLES


@pytest.mark.case("TXN-01")
def test_the_postgres_example_runs(postgres_url: str, tmp_path):
    """Order and job, both or neither."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "orders_on_postgres.py"],
        cwd=tmp_path,
        env=environment() | {"QUEUE_URL": postgres_url},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["There is such an order.", "0 left"], done.stderr
