"""Short words for what these tests do again and again."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncqueue.record import Claim, Filter, Record, Settlement, Source, State

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver

LEASE = 30.0
EVERYTHING = Filter()
CHILD = Path(__file__).with_name("child.py")


def record(id: str, queue: str = "q", **fields: Any) -> Record:
    return Record(id=id, queue=queue, name="kind", payload=b"payload", **fields)


async def claim(driver: Driver, limit: int = 100, *, queue: str = "q") -> list[Claim]:
    return (await driver.claim([Source(queue)], limit, LEASE, "w")).claims


def ended(claim: Claim, state: State = State.COMPLETED, **fields: Any) -> Settlement:
    fields = {"attempts": claim.attempts, "retention": 60.0} | fields
    return Settlement(id=claim.id, token=claim.token, state=state, **fields)


async def states(driver: Driver) -> dict[str, State]:
    return {job.id: job.state for job in (await driver.find(EVERYTHING, limit=1000)).items}


def sql(path: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a stranger does to the file."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()


async def start_child(*arguments: object) -> asyncio.subprocess.Process:
    """Run a command of child.py in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def lines(child: asyncio.subprocess.Process) -> list[str]:
    """What a child printed until its end, which must be a good one."""
    out, _ = await child.communicate()
    assert child.returncode == 0
    return out.decode().split()
