"""The pytest plugin: fixtures for tests of code that dispatches jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asyncqueue.testing.clock import Clock


@pytest.fixture
def asyncqueue_clock() -> Clock:
    """A clock that stands still until the test moves it."""
    from asyncqueue.testing.clock import Clock  # noqa: PLC0415 - plugins load in every test run

    return Clock()
