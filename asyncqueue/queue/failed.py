"""The failed store: jobs that failed for good, kept until somebody decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.errors import JobNotFound
from asyncqueue.lanes import source_of
from asyncqueue.queue.info import FailedJob, FailedPage, check_page, failed_job
from asyncqueue.record import Filter, State
from asyncqueue.registry import fold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.drivers.base import Driver
    from asyncqueue.sealing import Seal


class FailedStore:
    """Lists, retries and removes failed jobs: ``queue.failed``."""

    def __init__(
        self,
        driver: Callable[[], Awaitable[Driver]],
        driver_to_write: Callable[[str], Awaitable[Driver]],
        seal: Seal,
    ) -> None:
        self._driver = driver
        self._driver_to_write = driver_to_write
        self._seal = seal

    async def list(self, queue: str | None = None, limit: int = 50, offset: int = 0) -> FailedPage:
        """Failed jobs, newest first, and how many there are in all."""
        check_page(limit, offset)
        which = _failed(queue=queue)
        driver = await self._driver()
        found = await driver.find(which, limit=limit, offset=offset, order="finished")
        total = await driver.count(which)
        return FailedPage([failed_job(stored, self._seal) for stored in found.items], total)

    async def get(self, id: str) -> FailedJob:
        """The record of one job; :class:`~asyncqueue.errors.JobNotFound` if there is none."""
        driver = await self._driver()
        found = await driver.find(_failed(id=id), limit=1)
        if not found.items:
            raise _not_found(id)
        return failed_job(found.items[0], self._seal)

    async def retry(self, id: str) -> None:
        """Put one job back on its queue with fresh attempts; its record goes in the same step.

        Raises :class:`~asyncqueue.errors.JobNotFound` and changes nothing if there is none.
        """
        driver = await self._driver_to_write("failed.retry()")
        if not await driver.requeue(_failed(id=id)):
            raise _not_found(id)

    async def retry_all(self, queue: str | None = None, name: str | None = None) -> int:
        """Retry every failed job, of one queue or kind if given; answers how many."""
        driver = await self._driver_to_write("failed.retry_all()")
        return len(await driver.requeue(_failed(queue=queue, name=name)))

    async def forget(self, id: str) -> None:
        """Remove one record; :class:`~asyncqueue.errors.JobNotFound` if there is none."""
        driver = await self._driver_to_write("failed.forget()")
        if not await driver.delete(_failed(id=id)):
            raise _not_found(id)

    async def flush(self, older_than: Duration | None = None) -> int:
        """Remove all records, or those older than this; answers how many."""
        age = None if older_than is None else to_finite_seconds(older_than, "older_than")
        if age is not None and age < 0:
            raise ValueError(f"older_than must not be negative, got {older_than!r}; 0 means all")
        driver = await self._driver_to_write("failed.flush()")
        return await driver.delete(_failed(age=age))

    async def prune(self, older_than: Duration) -> int:
        """Remove records older than this; answers how many."""
        return await self.flush(older_than)


def _failed(
    *,
    id: str | None = None,
    queue: str | None = None,
    name: str | None = None,
    age: float | None = None,
) -> Filter:
    return Filter(
        ids=None if id is None else (id,),
        source=source_of(queue) if queue else None,
        states=(State.FAILED,),
        name=fold(name) if name else None,
        finished_before=age,
    )


def _not_found(id: str) -> JobNotFound:
    return JobNotFound(f"No failed job {id!r}; `asyncqueue failed list` shows those there are.")
