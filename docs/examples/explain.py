"""Why a job is not running, and what the others are doing."""

from __future__ import annotations

import asyncio

from asyncqueue import Context, Job, Limit, Queue, Worker


class Download(Job, queue="files", limit=Limit("mirror", concurrency=1)):
    url: str

    async def handle(self, ctx: Context) -> None:
        started.set()
        await fetch(self.url)


class Tidy(Job):
    async def handle(self, ctx: Context) -> None: ...


started = asyncio.Event()


async def fetch(url: str) -> None:
    await asyncio.sleep(3600)


async def main() -> None:
    async with Queue("memory://") as queue:
        tidy = await queue.dispatch(Tidy())
        later = await queue.dispatch(Download("c"), delay=3600)
        async with Worker(queue, ["files"], lease=1):
            await queue.dispatch(Download("a"))
            await started.wait()
            waiting = await queue.dispatch(Download("b"))

            for handle in (tidy, later, waiting):
                print(told(await queue.explain(handle.id)))

            await queue.pause("files")
            print(told(await queue.explain(waiting.id)))

            (job,) = await queue.running()
            while not job.place:  # the worker reports it with its next heartbeat
                await asyncio.sleep(0.05)
                (job,) = await queue.running()
            print(job.name, job.attempt, job.place)


def told(explanation) -> str:
    """The reason and the sentence, without the id in it."""
    return f"{explanation.reason}: {explanation.text.partition(': ')[2]}"


if __name__ == "__main__":
    asyncio.run(main())
