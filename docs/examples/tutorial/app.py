import asyncio

from asyncqueue import Context, Job, Queue

queue = Queue("sqlite:///queue.db")


class Greet(Job):
    name: str

    async def handle(self, ctx: Context) -> str:
        if not self.name:
            raise ValueError("whom shall I greet?")
        return f"Hello, {self.name}!"


class Count(Job, timeout=120):
    seconds: int

    async def handle(self, ctx: Context) -> str:
        for second in range(self.seconds):
            await ctx.progress(second, self.seconds)
            await asyncio.sleep(1)
        return f"counted to {self.seconds} on attempt {ctx.attempt}"
