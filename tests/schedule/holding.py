"""Entries that wait until a test lets them go on."""

from __future__ import annotations

import asyncio

from .jobs import Report


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Held:
    """A function for an entry that waits until it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.calls = 0
        self.ended = 0

    async def __call__(self) -> Report:
        self.calls += 1
        try:
            await self.let_go.wait()
        finally:
            self.ended += 1
        return Report()
