"""The SQLite driver: durable, embedded, for several processes on one host."""

from __future__ import annotations

from asyncqueue.drivers.sqlite.driver import SqliteDriver

__all__ = ["SqliteDriver"]
