"""The pytest plugin by name, for ``-p asyncqueue.testing.plugin`` where none load by themselves."""

from __future__ import annotations

from _asyncqueue_pytest import asyncqueue_clock, asyncqueue_fake, asyncqueue_memory

__all__ = ["asyncqueue_clock", "asyncqueue_fake", "asyncqueue_memory"]
