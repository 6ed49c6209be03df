"""Members, links and callbacks of the scenarios. What they are is the key of their entries."""

from __future__ import annotations

import asyncio
import os

from asyncqueue import Context, Job

from .jobs import journal, noted


class Member(Job, name="FaultMember", max_attempts=10, timeout=120):
    """One job of a batch, or one link of a chain."""

    what: str
    good: bool = True
    seconds: float = 0.01

    async def handle(self, ctx: Context) -> None:
        with noted(ctx, self.what):
            await asyncio.sleep(self.seconds)
            if not self.good:
                raise ValueError("one of the errors that are to be expected")

    def should_retry(self, error: Exception) -> bool:
        return False


class Grows(Member, name="FaultGrows", max_attempts=1):
    """Adds as many jobs to its batch before it ends."""

    more: int = 5

    async def handle(self, ctx: Context) -> None:
        await ctx.add_to_batch(*(Member(f"{self.what}/{n}") for n in range(self.more)))
        await super().handle(ctx)


class Called(Job, name="FaultCalled", max_attempts=10, timeout=120):
    """A callback, whose first ``deadly`` attempts end their process."""

    what: str
    deadly: int = 0

    async def handle(self, ctx: Context) -> None:
        with noted(ctx, self.what):
            await asyncio.sleep(0.01)
            if ctx.attempt <= self.deadly:
                journal().note("died")
                os._exit(1)
