"""What a dispatch gives: the job's id, and ways to ask after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncqueue.errors import JobCancelled, JobFailedError
from asyncqueue.queue.info import result_of
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.durations import Duration
    from asyncqueue.queue.info import JobInfo
    from asyncqueue.queue.operating import Operator

R_co = TypeVar("R_co", covariant=True)


class JobHandle(Generic[R_co]):
    """A dispatched job. ``duplicate`` is True where an earlier job stood in for it.

    After a dispatch ``within`` a transaction it can be asked once that is committed.
    """

    __slots__ = ("_maker", "_queue", "duplicate", "id")

    def __init__(
        self, queue: Operator, job_id: str, maker: Any, *, duplicate: bool = False
    ) -> None:
        self.id = job_id
        self.duplicate = duplicate
        self._queue = queue
        self._maker = maker

    async def status(self) -> JobInfo:
        """The job as the store shows it now, see ``Queue.status``."""
        return await self._queue.status(self.id)

    async def cancel(self) -> bool:
        """Cancel the job, see ``Queue.cancel``."""
        return await self._queue.cancel(self.id)

    async def result(self, timeout: Duration | None = None) -> R_co:
        """Wait until the job completed and return what ``handle`` returned.

        Raises ``TimeoutError`` after ``timeout`` seconds,
        :class:`~asyncqueue.errors.JobFailedError` and
        :class:`~asyncqueue.errors.JobCancelled` when it ended that way,
        :class:`~asyncqueue.errors.JobNotFound` when its record is past its retention, and
        ``SignatureInvalid`` or ``PayloadError`` when what is stored cannot be trusted or read.
        """
        stored = await self._queue.wait_finished(self.id, timeout)
        if stored.state is State.FAILED:
            raise JobFailedError(f"{stored.name} {stored.id} failed: {stored.error}")
        if stored.state is State.CANCELLED:
            raise JobCancelled(f"{stored.name} {stored.id} was cancelled")
        result: Any = result_of(stored, self._maker, self._queue.seal)
        return result  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}{' duplicate' if self.duplicate else ''}>"
