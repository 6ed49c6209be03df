"""The PostgreSQL driver: durable, for any number of processes on any number of hosts."""

from __future__ import annotations

from asyncqueue.drivers.postgres.driver import PostgresDriver

__all__ = ["PostgresDriver"]
