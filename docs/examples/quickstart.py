import asyncio

from asyncqueue import Context, Job, Queue, Worker


class Greet(Job, max_attempts=5):
    name: str

    async def handle(self, ctx: Context) -> str:
        return f"Hello, {self.name}! This is attempt {ctx.attempt}."


async def main() -> None:
    async with Queue("sqlite:///queue.db") as queue, Worker(queue):
        job = await queue.dispatch(Greet(name="Ada"))
        print(await job.result(timeout=10))


asyncio.run(main())
