"""An order and the job that ships it: both are stored, or neither. Give it QUEUE_URL."""

from __future__ import annotations

import asyncio
import os

import asyncpg

from asyncqueue import Context, Job, Queue, Worker
from asyncqueue.drivers.postgres import PostgresDriver

DSN = os.environ["QUEUE_URL"]


class Ship(Job):
    order: int

    async def handle(self, ctx: Context) -> None:
        async with ctx.transaction() as connection:
            await connection.execute("DELETE FROM shop.orders WHERE id = $1", self.order)


async def place_order(pool: asyncpg.Pool, queue: Queue, order: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("INSERT INTO shop.orders (id) VALUES ($1)", order)
        await queue.dispatch(Ship(order), within=connection)


async def main() -> None:
    queue = Queue(PostgresDriver(DSN, schema="shop"))
    async with queue, asyncpg.create_pool(DSN, min_size=1) as pool:
        await queue.ready()
        await pool.execute("CREATE TABLE shop.orders (id int PRIMARY KEY)")
        await place_order(pool, queue, 1)
        try:
            await place_order(pool, queue, 1)  # a duplicate order: no second job either
        except asyncpg.UniqueViolationError:
            print("There is such an order.")
        await Worker(queue, stop_when_empty=True).run()
        print(await pool.fetchval("SELECT count(*) FROM shop.orders"), "left")
        await pool.execute("DROP SCHEMA shop CASCADE")


if __name__ == "__main__":
    asyncio.run(main())
