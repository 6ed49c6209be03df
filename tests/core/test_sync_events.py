"""Events of the sync driver come in the order of every other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Job, Queue
from asyncqueue.events import JobEvent

if TYPE_CHECKING:
    from asyncqueue.registry import Registry


@pytest.mark.case("EVT-01", "DRV-29", on="sync")
async def test_queued_comes_first_whatever_follows(own_registry: Registry) -> None:
    class Divide(Job):
        by: int

        async def handle(self, ctx: Any) -> float:
            return 1 / self.by

    heard: list[JobEvent] = []
    async with Queue("sync://", registry=own_registry) as queue:
        queue.on(JobEvent, heard.append)
        await queue.dispatch(Divide(1), id="one", delay=3600)
        assert [type(event).__name__ for event in heard] == [
            "JobQueued",
            "JobProcessing",
            "JobProcessed",
        ]
        assert (await queue.dispatch(Divide(1), id="one")).duplicate
        assert len(heard) == 3
        with pytest.raises(ZeroDivisionError):
            await queue.dispatch(Divide(0))
    assert [type(event).__name__ for event in heard[3:]] == [
        "JobQueued",
        "JobProcessing",
        "JobFailed",
    ]
