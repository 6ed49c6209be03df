"""What runs first: priorities, lanes and the order of queues."""

from __future__ import annotations

import asyncio

from asyncqueue import Context, Job, Priority, Queue, Worker


class Mail(Job, queue="mail"):
    to: str

    async def handle(self, ctx: Context) -> None:
        print("mail to", self.to)


class PasswordReset(Job, queue="mail", priority=Priority.HIGH):
    to: str

    async def handle(self, ctx: Context) -> None:
        print("password of", self.to)


class Digest(Job, queue="mail:low"):
    to: str

    async def handle(self, ctx: Context) -> None:
        print("digest for", self.to)


class Ticket(Job, queue="tickets", priority=lambda job: 100 if job.customer == "acme" else 1):
    customer: str

    async def handle(self, ctx: Context) -> None:
        print("ticket of", self.customer)


async def main() -> None:
    async with Queue("memory://") as queue:
        await queue.dispatch(Digest("ann"))
        await queue.dispatch(Mail("ben"))
        await queue.dispatch(Mail("cat"), priority=Priority.LOW)
        await queue.dispatch(PasswordReset("dan"))
        print(await queue.size("mail"), await queue.size("mail:low"))
        await run(queue, ["mail"])

        await queue.dispatch_many([Ticket("tiny"), Ticket("acme")])
        await queue.dispatch(Mail("eve"))
        await run(queue, ["mail", "tickets"])

        await queue.dispatch_many([Digest("fay"), Mail("gil")])
        await run(queue, ["mail:low"])
        print(await queue.size("mail"))


async def run(queue: Queue, queues: list[str]) -> None:
    """One job at a time, so that the order can be seen."""
    await Worker(queue, queues, concurrency=1, stop_when_empty=True).run()


if __name__ == "__main__":
    asyncio.run(main())
