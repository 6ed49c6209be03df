"""What ``asyncqueue doctor`` tells of a PostgreSQL database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres.store import Store

Finding = tuple[str, bool, str]
LARGEST_SKEW: Final = 5.0
"""Seconds by which the clocks of host and server may differ before it is worth a word."""
LONGEST_TRANSACTION: Final = 300.0
"""Seconds for which a transaction may keep dead rows from being cleaned up."""
_SYNCHRONOUS: Final = ("on", "remote_apply", "remote_write", "local")


async def findings(store: Store) -> list[Finding]:
    """What there is to say."""
    sent_at = time.time()
    ((version, recovering, read_only, durable, server_time, oldest),) = await store.rows(
        "diagnose.server"
    )
    skew = server_time - (sent_at + time.time()) / 2
    ((size, live, dead),) = await store.rows(
        "diagnose.table", table=store.sql.tables.qualified("jobs")
    )
    return [
        ("server", True, f"PostgreSQL {version}"),
        _writable(recovering=recovering, read_only=read_only),
        _durable(durable),
        _clock(skew),
        _transactions(oldest),
        ("jobs table", True, f"{size}, about {live:,} live and {dead:,} dead rows"),
    ]


def _writable(*, recovering: bool, read_only: bool) -> Finding:
    if recovering:
        return "writable", False, "no, it is a standby; give the address of the primary"
    if read_only:
        return "writable", False, "no, default_transaction_read_only is on for this user"
    return "writable", True, "yes"


def _durable(level: str) -> Finding:
    if level in _SYNCHRONOUS:
        return "synchronous_commit", True, f"{level}: a stored job survives a crash of the server"
    return "synchronous_commit", True, f"{level}: a crash of the server may lose the last jobs"


def _clock(skew: float) -> Finding:
    if abs(skew) <= LARGEST_SKEW:
        return "clock", True, f"{skew:+.3f} s from this host's"
    return "clock", False, f"{skew:+.1f} s from this host's; delays count by the server's"


def _transactions(oldest: float | None) -> Finding:
    if oldest is None or oldest <= LONGEST_TRANSACTION:
        return "oldest transaction", True, f"{oldest or 0:.0f} s"
    advice = "end it: as long as it is open nothing that was deleted is cleaned up"
    return "oldest transaction", False, f"{oldest:.0f} s; {advice}"
