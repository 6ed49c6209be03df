"""The pytest plugin by name, for ``-p asyncqueue.testing.plugin`` where none load by themselves."""

from __future__ import annotations

from _asyncqueue_pytest import (
    asyncqueue_clock,
    asyncqueue_fake,
    asyncqueue_lab,
    asyncqueue_memory,
    pytest_addoption,
)

__all__ = [
    "asyncqueue_clock",
    "asyncqueue_fake",
    "asyncqueue_lab",
    "asyncqueue_memory",
    "pytest_addoption",
]
