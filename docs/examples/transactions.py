"""Two transactions: jobs that exist only if yours commits, and effects that happen exactly once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

from asyncqueue import Context, Job, Queue, Worker


class Ship(Job):
    order: int

    async def handle(self, ctx: Context) -> None:
        label = f"label of order {self.order}"  # slow work comes first, outside
        async with ctx.transaction() as connection:
            connection.execute("UPDATE orders SET label = ? WHERE id = ?", (label, self.order))
            connection.execute("UPDATE shipped SET count = count + 1")


async def place_order(queue: Queue, order: int) -> None:
    connection = sqlite3.connect("shop.db")
    try:
        connection.execute("INSERT INTO orders (id) VALUES (?)", (order,))
        await queue.dispatch(Ship(order), within=connection)
        connection.commit()  # order and job: both or neither
    finally:
        connection.close()


async def main() -> None:
    with closing(sqlite3.connect("shop.db")) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, label TEXT)")
        connection.execute("CREATE TABLE shipped (count INTEGER)")
        connection.execute("INSERT INTO shipped VALUES (0)")
    async with Queue("sqlite:///shop.db") as queue:
        await place_order(queue, 1)
        try:
            await place_order(queue, 1)  # a duplicate order: no second job either
        except sqlite3.IntegrityError as error:
            print(error)
        await Worker(queue, stop_when_empty=True).run()
    with closing(sqlite3.connect("shop.db")) as connection:
        print(connection.execute("SELECT * FROM orders").fetchall())
        print(connection.execute("SELECT count FROM shipped").fetchall())


if __name__ == "__main__":
    asyncio.run(main())
