"""Looking at queues and acting on them from code."""

from __future__ import annotations

import asyncio

from asyncqueue import Context, Job, JobFailed, JobProcessed, Queue, Worker


class Transcode(Job, queue="video"):
    file: str

    async def handle(self, ctx: Context) -> str:
        if self.file == "broken.mov":
            raise ValueError("no video stream")
        if self.file == "long.mov":
            await asyncio.sleep(3600)
        return self.file.replace(".mov", ".mp4")


async def report(event: JobFailed) -> None:
    print("failed:", event.name, event.attempt, repr(event.error))


def count(event: JobProcessed) -> None:
    print("processed:", event.name, event.queue)


async def main() -> None:
    async with Queue("sqlite:///queue.db") as queue:
        queue.on(JobFailed, report)
        stop_counting = queue.on(JobProcessed, count)

        await queue.pause("video")
        await queue.dispatch(Transcode("a.mov"))
        await queue.dispatch(Transcode("broken.mov"), max_attempts=1)
        long = await queue.dispatch(Transcode("long.mov"))
        print(await queue.size("video"), await queue.paused())
        await queue.resume("video")

        async with Worker(queue, {"video": 4}):
            while (await long.status()).state != "processing":
                await asyncio.sleep(0.01)
            (worker,) = await queue.workers()
            print(worker.queues, worker.concurrency, long.id in worker.running)
            print(await queue.cancel(long.id))
            while (await long.status()).state != "cancelled":
                await asyncio.sleep(0.01)

        stats = (await queue.stats())["video"]
        print(stats.pending, stats.processing, stats.completed, stats.failed)
        page = await queue.jobs(queue="video", state="completed", limit=20)
        print([(info.name, info.result) for info in page.items], page.next)
        await queue.failed.retry_all(queue="video")
        print(await queue.clear("video"))
        stop_counting()


if __name__ == "__main__":
    asyncio.run(main())
