"""A store that tests fill and look into, beside the commands."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from asyncqueue import JobInfo, Queue, Registry
from asyncqueue.record import Record, Settlement, Source, State


class Stored:
    def __init__(self, url: str) -> None:
        self.url = url

    def queue(self) -> Queue:
        return Queue(self.url, registry=Registry())

    async def dispatch(
        self, *jobs: tuple[str, dict[str, Any]], queue: str = "default"
    ) -> list[str]:
        ids = []
        async with self.queue() as handle:
            for name, fields in jobs:
                handle.registry.register(name, dict, replace=True)
                ids.append((await handle.dispatch_named(name, fields, queue)).id)
        return ids

    def put(self, *jobs: tuple[str, dict[str, Any]], queue: str = "default") -> list[str]:
        return asyncio.run(self.dispatch(*jobs, queue=queue))

    def put_as(self, *ids: str, name: str = "Send", queue: str = "default") -> None:
        """Jobs with these ids."""

        async def work() -> None:
            async with self.queue() as handle:
                await handle.driver.enqueue([self._record(id, name, queue) for id in ids])

        asyncio.run(work())

    def put_failed(
        self, *ids: str, name: str = "Send", queue: str = "default", error: str = "E: no"
    ) -> None:
        """Failed jobs with these ids."""

        async def work() -> None:
            async with self.queue() as handle:
                driver = handle.driver
                await driver.enqueue([self._record(id, name, queue) for id in ids])
                claimed = await driver.claim([Source(queue)], len(ids), 30.0, "w")
                await driver.settle(
                    [
                        Settlement(
                            claim.id,
                            claim.token,
                            State.FAILED,
                            1,
                            error=error,
                            traceback=f"T\n{error}",
                        )
                        for claim in claimed.claims
                    ]
                )

        asyncio.run(work())

    def jobs(self) -> dict[str, JobInfo]:
        async def work() -> dict[str, JobInfo]:
            async with self.queue() as handle:
                return {job.id: job for job in (await handle.jobs(limit=100)).items}

        return asyncio.run(work())

    def states(self) -> dict[str, str]:
        return {id: job.state.value for id, job in self.jobs().items()}

    @staticmethod
    def _record(id: str, name: str, queue: str) -> Record:
        data = msgspec.msgpack.encode({"v": 1, "data": {"who": "bob"}})
        return Record(id, queue, name, data)
