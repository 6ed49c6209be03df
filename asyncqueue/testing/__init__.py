"""What tests need: a clock that is moved by hand and the suite that every driver must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.testing.clock import Clock

if TYPE_CHECKING:
    from asyncqueue.testing.conformance import DriverConformance

__all__ = ["Clock", "DriverConformance"]


def __getattr__(name: str) -> object:
    # Only the suite needs pytest: whoever only wants the clock shall not have to install it.
    if name == "DriverConformance":
        import pytest

        pytest.register_assert_rewrite("asyncqueue.testing.conformance")
        from asyncqueue.testing.conformance import DriverConformance

        return DriverConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
