"""What the newer release of an application has, and its producers dispatch."""

from __future__ import annotations

import asyncio

from asyncqueue import Context, Job

from .jobs import journal, noted


class Newcomer(Job, name="FaultNewcomer", timeout=120):
    """A kind that the older release does not know."""

    number: int

    async def handle(self, ctx: Context) -> int:
        with noted(ctx):
            await asyncio.sleep(0.01)
            return self.number

    async def failed(self, ctx: Context, error: BaseException) -> None:
        journal().note("called", ctx.job_id, state="failed")


class Reshaped(Job, name="FaultReshaped", timeout=120):
    """A kind that both know, with a field more than it had."""

    number: int
    added: str = ""

    async def handle(self, ctx: Context) -> int:
        with noted(ctx):
            await asyncio.sleep(0.01)
            return self.number
