"""The memory driver: fast, gone when the process ends, and the reference for all others."""

from __future__ import annotations

from asyncqueue.drivers.memory.driver import MemoryDriver

__all__ = ["MemoryDriver"]
