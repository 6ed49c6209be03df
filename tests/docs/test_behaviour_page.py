"""The list of promised behaviour is what the tests say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .pages import ROOT


@pytest.mark.slow
def test_the_page_is_what_the_tests_say():
    """Every case is known and proven where it has to be, and the page tells where."""
    command = [sys.executable, "-m", "tests.behaviour_page", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
