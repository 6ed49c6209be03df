"""A worker that a handler kills in or after its transaction.

``python -m tests.behaviour.paying PATH``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asyncqueue import Context, Job, Queue, Registry, Worker
from asyncqueue.drivers.sqlite.pool import Pool

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable


class Receipt(Job, name="ReceiptOfPayment", queue="receipts"):
    async def handle(self, ctx: Context) -> None: ...


class Pays(Job, name="PaysAndDies"):
    runs: str
    """The file that gets a line for every run."""
    dies: str
    """Where the first run is killed."""

    async def handle(self, ctx: Context) -> None:
        with Path(self.runs).open("a") as runs:
            runs.write(f"{ctx.attempt}\n")
        async with ctx.transaction() as connection:
            connection.execute("INSERT INTO payments VALUES (?)", (ctx.job_id,))
            await ctx.dispatch(Receipt())
            if ctx.attempt == 1 and self.dies in INSIDE:
                INSIDE[self.dies](connection)
        if ctx.attempt == 1:
            die()


def die() -> None:
    """As ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_commit(connection: sqlite3.Connection) -> None:
    """The settlement is written by then."""
    connection.set_trace_callback(lambda statement: die() if statement == "COMMIT" else None)


def die_before_anybody_knows(_: sqlite3.Connection) -> None:
    """SQLite has committed, and the event loop was not told."""
    Pool.give_back = lambda *_: die()  # type: ignore[method-assign]


INSIDE: dict[str, Callable[[sqlite3.Connection], object]] = {
    "after the writes": lambda _: die(),
    "before the commit": die_before_commit,
    "before anybody knows of the commit": die_before_anybody_knows,
}


def registry() -> Registry:
    registry = Registry()
    registry.register(Pays)
    registry.register(Receipt)
    return registry


async def main(path: str) -> None:
    async with Queue(f"sqlite:///{path}", registry=registry()) as queue:
        await Worker(queue, poll_interval=0.02).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
