"""Payloads of every size up to the limit come back byte for byte; one byte more is refused."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import asyncpg
import pytest

from asyncqueue import Context, Job, PayloadTooLarge, Queue, Settings
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.record import Filter
from asyncqueue.testing import drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..servers.schemas import Schema

LIMIT = 1024 * 1024
SIZES = (0, 1, 31, 32, 255, 256, 2_000, 7_999, 8_000, 8_192, 65_535, 65_536, 500_000)
"""Around where lengths take another byte, rows move elsewhere, and notifications would be full."""


class SizedLoad(Job, name="SizedLoad", retention=60):
    load: bytes = b""

    async def handle(self, ctx: Context) -> str:
        return digest(self.load)


def digest(load: bytes) -> str:
    return f"{len(load)} {hashlib.sha256(load).hexdigest()}"


def load_of(size: int) -> bytes:
    """Every byte there is, in an order that no compression makes shorter."""
    blocks = (hashlib.sha256(f"{size} {n}".encode()).digest() for n in range(size // 32 + 1))
    return b"".join(blocks)[:size]


async def overhead(queue: Queue) -> int:
    """Bytes around a load of the limit's order of size."""
    handle = await queue.dispatch(SizedLoad(bytes(500_000)), queue="measured")
    (stored,) = (await queue.driver.find(Filter(ids=(handle.id,)))).items
    await queue.driver.delete(Filter(ids=(handle.id,)))
    return len(stored.payload) - 500_000


async def test_up_to_the_limit_and_no_further(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(settings=Settings(max_payload=LIMIT))
    largest = LIMIT - await overhead(queue)
    loads = [load_of(size) for size in (*SIZES, largest - 1, largest)]
    handles = [await queue.dispatch(SizedLoad(load)) for load in loads]
    for beyond in (largest + 1, largest + 100_000):
        with pytest.raises(PayloadTooLarge, match="over max_payload, 1,048,576") as raised:
            await queue.dispatch(SizedLoad(bytes(beyond)))
        assert f"SizedLoad: {beyond + LIMIT - largest:,} bytes" in str(raised.value)
        with pytest.raises(PayloadTooLarge):
            await queue.dispatch_many([SizedLoad(), SizedLoad(bytes(beyond))])
    assert await queue.size("default") == len(loads)
    await drain(queue)
    assert [await handle.result() for handle in handles] == [digest(load) for load in loads]


async def test_no_notification_tells_of_a_payload(postgres_schema: Schema) -> None:
    """They are read by whoever may connect, and refused by the server beyond 8,000 bytes."""
    canary = "c4n4ry"
    driver = PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name)
    queue = Queue(driver)
    heard: list[str] = []
    listener = await asyncpg.connect(postgres_schema.dsn)
    await driver.open()
    try:
        (session,) = driver._sessions.values()
        channel = session._sql.tables.channel
        await listener.add_listener(channel, lambda *given: heard.append(given[-1]))
        await queue.dispatch(SizedLoad(canary.encode() * 2_000))
        await queue.dispatch_many([SizedLoad(canary.encode()) for _ in range(50)])
        await drain(queue)
        async with asyncio.timeout(10):
            while len(heard) < 2:
                await asyncio.sleep(0.01)
        assert any("default" in text for text in heard)
        assert canary not in "".join(heard)
        assert max(map(len, heard)) < 500
    finally:
        await listener.close()
        await queue.close()
        await driver.close()
