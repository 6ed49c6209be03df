"""Jobs that come by themselves: by the calendar and by intervals."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from asyncqueue import Context, Job, Queue, Scheduler, Worker

queue = Queue("sqlite:///queue.db")
scheduler = Scheduler(queue)
done = asyncio.Event()


class CleanUp(Job):
    async def handle(self, ctx: Context) -> None: ...


class HealthCheck(Job):
    url: str

    async def handle(self, ctx: Context) -> None:
        print(f"checking {self.url}, from {ctx.queue}")
        done.set()


class DailyReport(Job, queue="reports"):
    day: str

    async def handle(self, ctx: Context) -> None: ...


def report_of_yesterday() -> DailyReport:
    return DailyReport(f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}")


scheduler.cron("clean-up", "0 3 * * *", CleanUp(), timezone="Europe/Berlin", overlap=False)
scheduler.cron("daily-report", "@daily", report_of_yesterday)
scheduler.every("health-check", 30, HealthCheck("https://example.org"))

worker = Worker(queue, ["scheduled", "recurring", "reports"], scheduler=scheduler)


async def main() -> None:
    for entry in scheduler.entries():
        print(entry.name, entry.expression, entry.timezone, entry.queue)
    async with queue, worker:
        scheduler.every("impatient", 0.1, HealthCheck("https://example.net"))
        await done.wait()


if __name__ == "__main__":
    asyncio.run(main())
