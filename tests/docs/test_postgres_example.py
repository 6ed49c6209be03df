from __future__ import annotations

import subprocess
import sys

from .conftest import environment
from .pages import EXAMPLES


def test_the_postgres_example_runs(postgres_url: str, tmp_path):
    """TXN-01: order and job, both or neither."""
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
