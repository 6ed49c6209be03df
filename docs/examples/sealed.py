"""Signing and encryption: what is in the store, who can read it, and what becomes of a forgery."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from asyncqueue import Context, Job, Queue, Worker

SIGNING = "a long random text that only your own programs know"
ENCRYPTION = "9f2d6b1c0a3e4857b6c9d8e7f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"
FILE = Path("sealed.db")


class Transfer(Job):
    to: str
    cents: int

    async def handle(self, ctx: Context) -> str:
        print(f"{self.cents} cents to {self.to}")
        return f"paid {self.to}"


async def keys_in_code() -> None:
    queue = Queue(
        "sqlite:///sealed.db",
        signing_keys=[SIGNING],
        encryption_keys=[ENCRYPTION],
    )
    async with queue, Worker(queue):
        handle = await queue.dispatch(Transfer("ada", 500))
        print(await handle.result(timeout=10))
    print("readable in the file:", any(b"ada" in path.read_bytes() for path in files()))


async def somebody_writes_to_the_store() -> None:
    queue = Queue("sqlite:///sealed.db", signing_keys=[SIGNING])
    async with queue:
        small = await queue.dispatch(Transfer("bob", 1))
        large = await queue.dispatch(Transfer("bob", 1_000_000))
        exchange(small.id, large.id)
        async with Worker(queue):
            while not (await queue.failed.list()).total:
                await asyncio.sleep(0.01)
        record = await queue.failed.get(small.id)
        print(record.error.partition(". ")[0])


async def the_keys_change() -> None:
    before = Queue("sqlite:///sealed.db", signing_keys=["old"])
    after = Queue("sqlite:///sealed.db", signing_keys=["new", "old"])
    async with before, after:
        await before.dispatch(Transfer("eve", 7))
        await after.dispatch(Transfer("fay", 8))
        await Worker(after, stop_when_empty=True).run()


def files() -> list[Path]:
    return sorted(FILE.parent.glob(f"{FILE.name}*"))


def exchange(one: str, other: str) -> None:
    """Move the bytes of one job to another, as anybody may who can write to the file."""
    with closing(sqlite3.connect(FILE)) as connection, connection:
        connection.execute(
            "UPDATE jobs SET payload = (SELECT payload FROM jobs WHERE id = ?) WHERE id = ?",
            (other, one),
        )


async def main() -> None:
    await keys_in_code()
    await somebody_writes_to_the_store()
    await the_keys_change()


if __name__ == "__main__":
    asyncio.run(main())
