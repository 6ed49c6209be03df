"""How far a job is, what came of it, and what happened on the way."""

from __future__ import annotations

import asyncio

from asyncqueue import Context, Job, JobFailedError, JobNotFound, Queue
from asyncqueue.testing import Clock, drain


class Resize(Job, retention=86400):
    files: list[str]

    async def handle(self, ctx: Context) -> dict[str, int]:
        sizes = {}
        for number, file in enumerate(self.files, start=1):
            sizes[file] = len(file)
            await ctx.progress(number, len(self.files), file)
        return sizes


class Flaky(Job, max_attempts=3, backoff=10):
    async def handle(self, ctx: Context) -> str:
        if ctx.attempt < 3:
            raise ConnectionError(f"refused, attempt {ctx.attempt}")
        return "at last"


class Hopeless(Job, max_attempts=1):
    async def handle(self, ctx: Context) -> None:
        raise ValueError("no such file")


class Silent(Job, retention=0):
    async def handle(self, ctx: Context) -> None: ...


async def main() -> None:
    clock = Clock()
    async with Queue("memory://", clock=clock) as queue:
        resize = await queue.dispatch(Resize(["a.png", "bb.png"]))
        print((await resize.status()).state)
        await drain(queue)
        info = await resize.status()
        print(info.state, info.progress, info.message, info.result)
        sizes = await resize.result(timeout=5)
        print(sizes["bb.png"])

        flaky = await queue.dispatch(Flaky())
        for _ in range(3):
            await drain(queue)
            clock.advance(10)
        for attempt in (await flaky.status()).history:
            print(attempt.number, attempt.state, attempt.error)

        hopeless = await queue.dispatch(Hopeless())
        await drain(queue)
        try:
            await hopeless.result(timeout=5)
        except JobFailedError as error:
            print(error)

        silent = await queue.dispatch(Silent())
        await drain(queue)
        try:
            await silent.status()
        except JobNotFound:
            print("nothing is kept")

        page = await queue.jobs(state="completed", limit=10)
        print([info.name for info in page.items])
        clock.advance(86400)
        print((await queue.jobs(state="completed")).items)


if __name__ == "__main__":
    asyncio.run(main())
