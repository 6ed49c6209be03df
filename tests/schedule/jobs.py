"""Jobs to schedule, of kinds that no other test has."""

from __future__ import annotations

from asyncqueue import Job


class Report(Job, name="ScheduledReport"):
    number: int = 0

    async def handle(self, ctx) -> str:
        return "done"


class Mail(Job, name="ScheduledMail", queue="emails"):
    to: str = "ada"


class Routed(Job, name="ScheduledRouted", queue=lambda job: job.to):
    to: str
